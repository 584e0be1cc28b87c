"""What follows from the two passes: the columns to drop, the components, the coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.reduce.choose import Choice
from labkit.preprocess.reduce.components import Components, fit_components
from labkit.preprocess.reduce.covariance import Covariance, covariance_of, gram_of, grid_of
from labkit.preprocess.reduce.filters import drop_by_survey, drop_correlated, drop_unimportant
from labkit.preprocess.reduce.importance import bin_edges, entropy, mutual_information
from labkit.preprocess.reduce.measure import Measures, Signal, Task
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.reduce.survey import Survey
from labkit.preprocess.reduce.wavelet import Wavelet, coefficient_grid, keep_energy
from labkit.preprocess.schema import Schema, column_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the training rows say.

    Attributes:
        dropped: by column, why.
        kept: number columns that are left, in order.
        mean: of those.
        importance: bits that each column tells about the label; empty without a label.
        label_bits: what a column can tell at most.
        compared: number columns that were compared with each other.
        correlation: of those.
        exact, sampled: components from all training rows and from a sample; ``None`` where no
            number column is left.
        num_sampled: rows of that sample.
        wavelet: coefficients to keep.
    """

    dropped: Mapping[str, str]
    kept: Sequence[str]
    mean: Sequence[float]
    importance: Mapping[str, float]
    label_bits: float
    compared: Sequence[str]
    correlation: NDArray[np.float64]
    exact: Components | None
    sampled: Components | None
    num_sampled: int
    wavelet: Wavelet | None


def plan_second_pass(
    schema: Schema, choice: Choice, survey: Survey, settings: ReductionSettings
) -> tuple[Task, dict[str, str]]:
    """What the second pass looks at, and the columns that the first one drops."""
    dropped = drop_by_survey(choice.candidates, survey, settings)
    left = [name for name in choice.candidates if name not in dropped]
    numbers = [name for name in left if name in schema.numbers]
    codes = {name: len(schema.categories[name]) for name in left if name in schema.categories}
    facts = [survey.facts[name] for name in numbers]
    some = [each.num_values > 0 for each in facts]
    task = Task(
        numbers=numbers,
        # a column that is kept though it is empty needs some grid
        grid=grid_of(
            [each.least if any_ else 0.0 for each, any_ in zip(facts, some, strict=True)],
            [each.greatest if any_ else 0.0 for each, any_ in zip(facts, some, strict=True)],
        ),
        gaps=[at for at, each in enumerate(facts) if each.num_values < survey.num_rows],
        edges={name: bin_edges(column_values(survey.sample, name)) for name in numbers},
        codes=codes if schema.label else {},
        label=schema.label,
        num_classes=len(schema.class_names),
        signal=_signal(choice, survey),
    )
    return task, dropped


def _signal(choice: Choice, survey: Survey) -> Signal | None:
    if choice.basis is None:
        return None
    facts = [survey.facts[name] for name in choice.signal]
    reach = max(
        (max(abs(each.least), abs(each.greatest)) for each in facts if each.num_values),
        default=0.0,
    )
    return Signal(
        columns=choice.signal,
        fill=[_mean_of(column_values(survey.sample, name)) for name in choice.signal],
        basis=choice.basis,
        grid=coefficient_grid(reach, choice.basis.num_positions),
    )


def _mean_of(values: NDArray[np.float64]) -> float:
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else 0.0


def find(
    schema: Schema,
    choice: Choice,
    survey: Survey,
    task: Task,
    measures: Measures,
    dropped: Mapping[str, str],
    settings: ReductionSettings,
) -> Findings:
    """Everything that follows from both passes.

    Args:
        schema: columns before the step.
        choice: what the step looks at.
        survey: first pass over all parts.
        task: what the second pass looked at.
        measures: second pass over all parts.
        dropped: columns that the first pass drops.
        settings: of the step.
    """
    importance = {name: mutual_information(table) for name, table in measures.tables.items()}
    label_bits = max(
        (entropy(table.sum(axis=0)) for table in measures.tables.values()), default=0.0
    )
    unimportant = drop_unimportant(importance, schema.label, label_bits, settings)
    covariance = covariance_of(measures.gram, task.grid, task.gaps)
    covariance, compared = _without(covariance, task.numbers, unimportant)
    correlation = covariance.correlation
    correlated = drop_correlated(compared, correlation, settings)
    covariance, kept = _without(covariance, compared, correlated)
    return Findings(
        dropped={**choice.dropped, **dropped, **unimportant, **correlated},
        kept=kept,
        mean=covariance.mean.tolist(),
        importance=importance,
        label_bits=label_bits,
        compared=compared,
        correlation=correlation,
        exact=_components(covariance, kept, settings),
        sampled=_components(_sample_covariance(survey, kept), kept, settings),
        num_sampled=len(survey.sample),
        wavelet=_wavelet(task, measures, settings),
    )


def _without(
    covariance: Covariance, columns: Sequence[str], dropped: Mapping[str, str]
) -> tuple[Covariance, list[str]]:
    left = [at for at, name in enumerate(columns) if name not in dropped]
    smaller = Covariance(
        covariance.num_rows, covariance.mean[left], covariance.products[np.ix_(left, left)]
    )
    return smaller, [columns[at] for at in left]


def _sample_covariance(survey: Survey, columns: Sequence[str]) -> Covariance:
    values = np.empty((len(survey.sample), len(columns)))
    for place, name in enumerate(columns):
        values[:, place] = column_values(survey.sample, name)
    finite = np.isfinite(values)
    there = finite.any(axis=0)
    grid = grid_of(
        np.where(there, np.where(finite, values, np.inf).min(axis=0, initial=np.inf), 0.0),
        np.where(there, np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf), 0.0),
    )
    gaps = np.flatnonzero(~finite.all(axis=0)).tolist()
    return covariance_of(gram_of(values, grid, gaps), grid, gaps)


def _components(
    covariance: Covariance, columns: Sequence[str], settings: ReductionSettings
) -> Components | None:
    if not columns or covariance.num_rows < 2:
        return None
    return fit_components(
        covariance, columns, explained=settings.explained, number=settings.components
    )


def _wavelet(task: Task, measures: Measures, settings: ReductionSettings) -> Wavelet | None:
    if task.signal is None or measures.energies is None or settings.wavelet is None:
        return None
    return keep_energy(
        task.signal.basis,
        [measures.energies],
        settings.wavelet.energy,
        columns=task.signal.columns,
        fill=task.signal.fill,
    )
