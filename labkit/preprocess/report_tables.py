"""The figures of a report as tables: any step's details become headings and rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_ROWS, MAX_ITEMS = 100, 24
BY_COLUMN = ", by column"
STATISTICS = ("count", "missing", "min", "q25", "median", "q75", "max", "mean", "std")

# What the steps call their figures, in the words of a caption.
CAPTIONS: Mapping[str, str] = {
    "by_class": "Statistics of the class",
    "by_source": "Statistics of the source",
    "unreadable_values": "Values that could not be read, by column",
    "rows_per_source": "Rows by source",
    "conflicts": "Values on which sources disagree, by column",
    "known_by": "Things by the sources that describe them",
    "came_from": "Values by column and source",
    "set_aside_reasons": "Rows set aside, by reason",
    "outliers": "Noise removed, by column",
    "slips": "Units put right, by column",
    "sentinels": "Numbers that stood for missing, by column",
    "rules": "Values removed by a rule, by column",
    "filled": "Gaps filled, by column",
    "fills": "How gaps are filled, by column",
    "scales": "Scale on which noise is found, by column",
    "fences": "Fences, by column",
    "tails": "Share of far values that are believed, by column",
    "sentinel_values": "Numbers that stand for missing, by column",
    "dropped": "Columns dropped, and why",
    "importance": "Bits that a column tells about the label",
    "correlation": "Correlation of the columns",
    "loadings": "Loadings of the components",
    "explained": "Share of the variance by component",
    "sample": "Components of a sample beside those of all rows",
    "scale": "Scaling, by column",
    "bins": "Bins, by column",
    "generalised": "More general names, by column",
    "encoded": "Coding of names, by column",
    "unseen": "Values never seen in training, by column",
    "beyond": "Values beyond those of training, by column",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts.

    Attributes:
        caption: what it shows.
        headings: of the columns.
        rows: cells; the first of each names the row.
        more: rows that were left out.
        numeric: by column, whether it stands to the right.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0

    @property
    def numeric(self) -> tuple[bool, ...]:
        """By column, whether all its cells are numbers."""
        return tuple(
            place > 0 and all(_looks_numeric(row[place]) for row in self.rows)
            for place in range(len(self.headings))
        )


def details_tables(details: Mapping[str, Any]) -> list[Table]:
    """Every figure of a step; empty ones and what was counted as 0 everywhere are left out."""
    tables: list[Table] = []
    single: list[tuple[str, str]] = []
    for name, value in details.items():
        if name == "correlation" and isinstance(value, Mapping):
            tables += _matrix(name, value.get("columns", ()), value.get("matrix", ()))
        elif name == "loadings":
            tables += _loadings(value, details.get("columns", ()))
        elif isinstance(value, Mapping):
            tables += _of_mapping(name, value)
        elif _is_rows(value):
            tables.append(_of_rows(name, value))
        elif value not in (None, [], ""):
            single.append((in_words(name), text_of(value)))
    if single:
        rows, more = _cut(single)
        tables.insert(
            0, Table(caption="Figures", headings=("figure", "value"), rows=rows, more=more)
        )
    return tables


def statistics_table(statistics: Mapping[str, Mapping[str, Any]], caption: str) -> Table:
    """Exact figures of every column; of names also how many differ and the most frequent."""
    rows = [
        (
            name,
            *(text_of(figures.get(figure)) for figure in STATISTICS),
            text_of(figures.get("distinct", len(figures.get("counts") or ()) or None)),
            text_of(figures.get("mode")),
        )
        for name, figures in statistics.items()
    ]
    kept, more = _cut(rows)
    headings = ("column", *STATISTICS, "different", "most often")
    return Table(caption=caption, headings=headings, rows=kept, more=more)


def steps_table(report: Mapping[str, Any]) -> Table:
    """What each step did, in one line each."""
    rows = [
        (
            step["name"],
            text_of(step.get("rows_in")),
            text_of(step.get("rows_out")),
            f"{step.get('seconds', 0.0):.2f}",
            str(step.get("note", "")),
        )
        for step in report.get("steps", ())
    ]
    headings = ("step", "rows in", "rows out", "seconds", "what it did")
    return Table(caption="What each step did", headings=headings, rows=tuple(rows))


def in_words(name: str) -> str:
    """``sample_rows`` as ``sample rows``."""
    return name.replace("_", " ")


def text_of(value: Any) -> str:
    """A figure for people; six digits where it is no whole number."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.6g}"
    if isinstance(value, Mapping):
        return text_of([f"{in_words(str(name))} {text_of(each)}" for name, each in value.items()])
    if isinstance(value, list | tuple):
        said = ", ".join(text_of(item) for item in value[:MAX_ITEMS])
        more = len(value) - MAX_ITEMS
        return f"{said}, ... ({more} more)" if more > 0 else said
    return str(value)


def _of_mapping(name: str, value: Mapping[str, Any], caption: str = "") -> list[Table]:
    """A table; one for each group where there is a mapping of mappings of mappings."""
    caption = caption or CAPTIONS.get(name, in_words(name).capitalize())
    inner = [each for each in value.values() if isinstance(each, Mapping)]
    if not any(_counts_something(each) for each in value.values()):
        return []
    if name in ("by_class", "by_source"):
        return [statistics_table(each, f"{caption} {group}") for group, each in value.items()]
    if len(inner) == len(value) and any(
        isinstance(cell, Mapping) for each in inner for cell in each.values()
    ):
        return [
            table
            for group, each in value.items()
            for table in _of_mapping(name, each, f"{caption.removesuffix(BY_COLUMN)}: {group}")
        ]
    if len(inner) == len(value):
        headings = list(dict.fromkeys(key for each in inner for key in each))
        cells = [
            (str(row), *(text_of(each.get(key)) for key in headings)) for row, each in value.items()
        ]
        rows, more = _cut(cells)
        return [
            Table(
                caption=caption,
                headings=("", *(in_words(str(key)) for key in headings)),
                rows=rows,
                more=more,
            )
        ]
    shown = [(str(key), text_of(each)) for key, each in value.items() if _counts_something(each)]
    rows, more = _cut(shown)
    return [Table(caption=caption, headings=("", "value"), rows=rows, more=more)]


def _of_rows(name: str, value: Sequence[Mapping[str, Any]]) -> Table:
    headings = list(dict.fromkeys(str(key) for row in value for key in row))
    rows, more = _cut([tuple(text_of(row.get(key)) for key in headings) for row in value])
    caption = CAPTIONS.get(name, in_words(name).capitalize())
    return Table(caption=caption, headings=tuple(map(in_words, headings)), rows=rows, more=more)


def _loadings(value: Any, columns: Sequence[str]) -> list[Table]:
    names = [f"component {number}" for number in range(1, len(value or ()) + 1)]
    return _matrix("loadings", names, value or (), columns)


def _matrix(
    name: str, rows: Sequence[str], matrix: Any, columns: Sequence[str] | None = None
) -> list[Table]:
    if not len(rows) or not matrix:
        return []
    columns = rows if columns is None else columns
    cells = [
        (str(row), *(f"{number:.3f}" for number in values))
        for row, values in zip(rows, matrix, strict=True)
    ]
    kept, more = _cut(cells)
    return [Table(caption=CAPTIONS[name], headings=("", *columns), rows=kept, more=more)]


def _cut(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[tuple[str, ...], ...], int]:
    return tuple(rows[:MAX_ROWS]), max(len(rows) - MAX_ROWS, 0)


def _is_rows(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) for each in value)
    )


def _counts_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_counts_something(each) for each in value.values())
    return value not in (0, None, "", [], ())


def _looks_numeric(cell: str) -> bool:
    return cell == "-" or cell[:1].isdigit() or (cell[:1] == "-" and cell[1:2].isdigit())
