"""Step 1, statistics: what the sources hold, as read, before anything is changed."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labkit.errors import SettingError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.statistics.first_look import (
    Guesses,
    guess_brackets,
    parts_to_look_at,
    read_off,
)
from labkit.preprocess.statistics.groups import ALL, Group, by_group
from labkit.preprocess.statistics.moments import Moments, merge_all
from labkit.preprocess.statistics.names import (
    Names,
    category_figures,
    merge_names,
    text_figures,
)
from labkit.preprocess.statistics.quantiles import Ranked, find_ranked, sample_part
from labkit.preprocess.statistics.summary import Summary, numbers_by_group, summarise_part
from labkit.preprocess.tasks import Executor

logger = logging.getLogger(__name__)

NOTHING = Ranked(0, {})
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Exact figures of every column: ``count``, ``missing``, ``min``, ``max``, ``mean``,
    ``median``, ``variance``, ``std`` (ddof = 1) and quantiles (``q25``); of categories and texts
    ``distinct`` and ``mode``, of categories ``counts`` by name. What there is not is ``None``.

    Attributes:
        overall: over all rows, by column.
        by_class: by class name and column; rows whose class is not known are in none.
        by_source: by source name and column.
        rows: that were read.
        rows_per_source: by source name.
    """

    overall: dict[str, Figures]
    by_class: dict[str, dict[str, Figures]]
    by_source: dict[str, dict[str, Figures]]
    rows: int
    rows_per_source: dict[str, int]

    @property
    def missing(self) -> dict[str, int]:
        """Values missing by column."""
        return {name: figures["missing"] for name, figures in self.overall.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the report."""
        return asdict(self)


def describe(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    *,
    sources: Sequence[str] = (),
    fractions: Sequence[float] = (0.25, 0.5, 0.75),
) -> Statistics:
    """Exact statistics of every column; the same bits for any cut into parts and any order.

    Args:
        executor: runs 1 small task a part, 1 more where a first look at a few parts does not
            show where the quantiles are.
        parts: the rows.
        schema: the columns.
        sources: names by the code in the source column; empty: they are not told apart.
        fractions: quantiles, each in [0, 1]; 0.25 is called ``q25``. The median is always there.
    Raises:
        SettingError: a fraction beyond [0, 1].
    """
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise SettingError(f"fraction {fraction} of a quantile; choose from 0 to 1")
    executor.begin("statistics", len(parts_to_look_at(parts)) + len(parts))
    wanted = (*fractions, 0.5)
    settings = {"schema": schema, "by_source": bool(sources)}
    guesses = guess_brackets(executor, parts, numbers_by_group, wanted, **settings)
    if schema.numbers and not guesses:
        executor.expect(len(parts))
    summaries: list[Summary] = map_parts(
        executor, summarise_part, parts, guesses=guesses, **settings
    )
    rows = by_group([summary.rows for summary in summaries])
    names = by_group([summary.names for summary in summaries])
    found = by_group([summary.moments for summary in summaries])
    moments = {key: merge_all(each) for key, each in found.items()}
    ranked = _rank(executor, parts, summaries, guesses, moments, wanted, settings)

    def figures_of(group: Group) -> dict[str, Figures]:
        found = {}
        for column in schema.columns:
            key = column.name, group
            if column.kind == "number":
                of_column = moments.get(key, Moments())
                found[column.name] = _figures(of_column, ranked.get(key, NOTHING), fractions)
            else:
                merged = merge_names(names.get(key, ()))
                found[column.name] = _name_figures(merged, column, fractions)
        return found

    by_source = {name: ("source", code) for code, name in enumerate(sources)}
    by_class = {name: ("class", code) for code, name in enumerate(schema.class_names)}
    return Statistics(
        overall=figures_of(ALL),
        by_class={name: figures_of(group) for name, group in by_class.items()},
        by_source={name: figures_of(group) for name, group in by_source.items()},
        rows=sum(rows.get(("", ALL), ())),
        rows_per_source={name: sum(rows.get(("", group), ())) for name, group in by_source.items()},
    )


def _rank(
    executor: Executor,
    parts: Sequence[Part],
    summaries: Sequence[Summary],
    guesses: Guesses,
    moments: Mapping[Hashable, Moments],
    fractions: Sequence[float],
    settings: Mapping[str, Any],
) -> dict[Hashable, Ranked]:
    """The quantiles of every column and group: from the guesses, the others from one more pass."""
    ranked: dict[Hashable, Ranked] = {}
    for key, brackets in guesses.items():
        shares = [summary.insides[key] for summary in summaries if key in summary.insides]
        right = read_off(brackets, shares, moments.get(key, Moments()).num_values, fractions)
        if right is not None:
            ranked[key] = right
    left = {key for key, each in moments.items() if each.num_values} - ranked.keys()
    if not left:
        return ranked
    samples = by_group([summary.samples for summary in summaries])
    if wrong := left & guesses.keys():
        logger.info("%d guesses of quantiles were wrong; these columns are read again", len(wrong))
        executor.expect(len(parts))
        sampled = map_parts(
            executor,
            sample_part,
            parts,
            select=numbers_by_group,
            settings={**settings, "keys": wrong},
        )
        for key in wrong:
            samples[key] = [each for part in sampled for each in part.get(key, ())]
    if guesses:
        executor.expect(len(parts))
    samples = {key: samples[key] for key in left}
    return ranked | find_ranked(
        executor, parts, numbers_by_group, samples, fractions, keys=left, **settings
    )


def _figures(moments: Moments, ranked: Ranked, fractions: Sequence[float]) -> Figures:
    there, spread = moments.num_values > 0, moments.num_values > 1
    return {
        "count": moments.num_values,
        "missing": moments.missing,
        "min": moments.minimum if there else None,
        "max": moments.maximum if there else None,
        "mean": moments.mean if there else None,
        "median": ranked.median if there else None,
        "variance": moments.variance if spread else None,
        "std": moments.std if spread else None,
        **{_named(each): ranked.quantile(each) if there else None for each in fractions},
    }


def _name_figures(names: Names, column: Column, fractions: Sequence[float]) -> Figures:
    return {
        "count": names.num_known,
        "missing": names.missing,
        **dict.fromkeys(("min", "max", "mean", "median", "variance", "std")),
        **dict.fromkeys(map(_named, fractions)),
        **(text_figures(names) if column.kind == "text" else category_figures(names, column.names)),
    }


def _named(fraction: float) -> str:
    return f"q{100 * fraction:g}"
