"""A preprocessing as text: what ``labkit preprocess`` prints."""

from __future__ import annotations

from typing import Any

from labkit.reports import columns


def preprocess_table(report: dict[str, Any]) -> str:
    """The steps of preprocessing, exact figures of each column, the quality, and the totals."""
    steps: list[tuple[str, ...]] = [("step", "rows in", "rows out", "seconds", "what it did")]
    steps += [
        (
            s["name"],
            f"{s['rows_in']:,}",
            f"{s['rows_out']:,}",
            f"{s['seconds']:.2f}",
            s.get("note", ""),
        )
        for s in report["steps"]
    ]
    names = ("count", "missing", "min", "median", "max", "mean", "std")
    statistics: list[tuple[str, ...]] = [("column", *names, "most often")]
    for column, values in report["statistics"].items():
        cells = (values.get(name) for name in names)
        shown = ("" if c is None else f"{c:,.6g}" for c in cells)
        statistics.append((column, *shown, str(values.get("mode") or "")))
    tables = [columns(steps, left=["what it did"])]
    if len(statistics) > 1:
        tables.append(columns(statistics, left=["most often"]))
    tables.append(quality_table(report))
    tables.append(
        f"{report['rows_in']:,} rows in, {report['rows_out']:,} out, {report['set_aside']:,} set "
        f"aside, {report['shards']} shards, {report['seconds']:.1f} s"
    )
    return "\n\n".join(tables)


def quality_table(report: dict[str, Any]) -> str:
    """Each dimension of data quality before and after, and what was counted."""
    from labkit.preprocess.quality import DIMENSIONS, TOTAL, quality

    score = quality(report)
    rows: list[tuple[str, ...]] = [("quality", "before", "after", "how it was counted")]
    for name in (*DIMENSIONS, TOTAL):
        sides = (score[side][name] for side in ("before", "after"))
        shown = ("-" if share is None else f"{share:.2%}" for share in sides)
        rows.append((name, *shown, score["how"][name]))
    return columns(rows, left=["how it was counted"])
