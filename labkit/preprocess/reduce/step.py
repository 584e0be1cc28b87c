"""Step 4, reduction: what does not help is dropped, what is left becomes fewer numbers.

Two passes over the training rows: the first sees which columns say nothing and takes a sample, the
second counts what the others say about the label and about each other. Then columns are dropped,
each with the reason, and the rest become principal components or wavelet coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from labkit.errors import SettingError, SourceError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.reduce.choose import Choice, choose_columns
from labkit.preprocess.reduce.find import Findings, find, plan_second_pass
from labkit.preprocess.reduce.fitted import Reduction
from labkit.preprocess.reduce.importance import exact_edges
from labkit.preprocess.reduce.measure import measure_part, merge_measures
from labkit.preprocess.reduce.picture import details_of, note_of, picture_of
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.reduce.survey import Survey, merge_surveys, survey_part
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import Executor

TASKS_PER_PART = 2
TASKS_FOR_EXACT_BINS = 2


def reduce(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    settings: ReductionSettings,
    rows: int,
) -> StepResult:
    """Find what can be left out of the training rows, and leave it out of all rows.

    Args:
        executor: runs ``TASKS_PER_PART`` tasks a part, and ``TASKS_FOR_EXACT_BINS`` more where
            columns may be dropped for what they tell about the label.
        parts: cleaned rows, with a key each.
        schema: their columns.
        settings: of the step.
        rows: in all parts.
    Returns:
        Parts whose number columns are components, or those that were not dropped, and wavelet
        coefficients; the label and the categories that were not dropped stay.
    Raises:
        SettingError: a setting names a column that is not there, or does not fit the data.
        SourceError: fewer than two training rows, or nothing is left.
    """
    choice = choose_columns(schema, settings)
    exact_bins = settings.importance > 0 and "unimportant" in settings.drop
    tasks = TASKS_PER_PART + (TASKS_FOR_EXACT_BINS if exact_bins else 0)
    executor.begin("reduction", tasks * len(parts))
    survey = _survey(executor, parts, schema, choice, settings.sample_rows / max(rows, 1))
    task, dropped = plan_second_pass(schema, choice, survey, settings)
    if exact_bins:
        task = replace(task, edges=exact_edges(executor, parts, task.numbers))
    measures = merge_measures(map_parts(executor, measure_part, parts, task=task))
    found = find(schema, choice, survey, task, measures, dropped, settings)
    fitted = _fitted(schema, found, settings)
    return StepResult(
        parts=[part.then(fitted) for part in parts],
        schema=schema_after(schema, fitted),
        fitted=fitted,
        rows_out=rows,
        note=note_of(fitted, found),
        details=details_of(fitted, found),
        picture=picture_of(fitted, found, survey.sample, schema),
    )


def _survey(
    executor: Executor, parts: Sequence[Part], schema: Schema, choice: Choice, share: float
) -> Survey:
    surveys = map_parts(
        executor,
        survey_part,
        parts,
        columns=[*choice.candidates, *choice.signal],
        categories=list(schema.categories),
        label=schema.label,
        share=share,
    )
    num_rows = sum(survey.num_rows for survey in surveys)
    if num_rows < 2:
        raise SourceError(f"{num_rows} training rows are left after cleaning; give more rows")
    return merge_surveys(surveys)


def _fitted(schema: Schema, found: Findings, settings: ReductionSettings) -> Reduction:
    signal = found.wavelet.columns if found.wavelet else ()
    left = [column for column in schema.columns if column.name not in (*found.dropped, *signal)]
    if all(column.name == schema.label for column in left) and not found.wavelet:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.dropped.items())
        raise SourceError(
            f"no column is left to learn from ({reasons or 'there was none'}); give sources that "
            "measure, or name columns to [reduction] keep"
        )
    if settings.method == "pca_sampled" and found.kept and found.sampled is None:
        raise SettingError(
            f"sample_rows = {settings.sample_rows} gave a sample of {found.num_sampled} training "
            "rows, but components need 2; choose more"
        )
    components = {"pca": found.exact, "pca_sampled": found.sampled, "none": None}
    passed = dict(zip(found.kept, found.mean, strict=True)) if settings.method == "none" else {}
    return Reduction(
        components=components[settings.method],
        passed=passed,
        wavelet=found.wavelet,
        carried=[column.name for column in left if column.kind != "number"],
        dropped={
            column.name: found.dropped[column.name]
            for column in schema.columns
            if column.name in found.dropped
        },
    )


def schema_after(schema: Schema, fitted: Reduction) -> Schema:
    """The columns of reduced rows: numbers first, then categories, texts and the label."""
    columns = []
    if fitted.components:
        places = range(1, len(fitted.components.names) + 1)
        of = ", ".join(fitted.components.columns)
        columns += [
            Column(
                name=name,
                description=f"principal component {place} of {of}",
            )
            for place, name in zip(places, fitted.components.names, strict=True)
        ]
    columns += [schema.column(name) for name in fitted.passed]
    if fitted.wavelet:
        about = f"{fitted.wavelet.basis.wavelet} coefficient at position"
        columns += [
            Column(name=name, description=f"{about} {place} of {len(fitted.wavelet.all_energy)}")
            for name, place in zip(fitted.wavelet.names, fitted.wavelet.positions, strict=True)
        ]
    columns += [schema.column(name) for name in fitted.carried]
    names = [column.name for column in columns]
    key = schema.key if all(name in names for name in schema.key) else ()
    return replace(schema, columns=tuple(columns), key=key)
