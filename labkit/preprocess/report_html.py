"""The report as one page to read, print and send: pictures and styles are inside, no script."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.figures.inline_svg import inline_svg
from labkit.figures.preprocess_columns import cleaning_columns_figure
from labkit.figures.preprocess_step import DRAWN, columns_of, step_figure, step_in_words
from labkit.figures.preprocessing import preprocessing_figure
from labkit.preprocess.manifest import files_of
from labkit.preprocess.quality import DIMENSIONS, TOTAL, quality
from labkit.preprocess.report_tables import (
    Table,
    details_tables,
    statistics_table,
    steps_table,
    text_of,
)

HTML_FILE = "report.html"
TEMPLATE = "report.html.j2"
SHOWN_BYTES = 8  # of a checksum


def report_html(report: Mapping[str, Any], manifest: Mapping[str, Any] | None = None) -> str:
    """One self-contained page: light and dark, printable, without script or anything to load.

    Args:
        report: ``Dataset.to_json()``; finished, or so far.
        manifest: of the dataset, for its name and its shards.
    Returns:
        HTML.
    """
    from jinja2 import Environment, StrictUndefined

    page = resources.files("labkit.preprocess") / "templates" / TEMPLATE
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(page.read_text(encoding="utf-8"))
    manifest = manifest or {}
    steps = [step for step in report.get("steps", ()) if step["name"] in DRAWN]
    return template.render(
        name=manifest.get("name", "the data"),
        summary=_summary(report),
        totals=_totals(report, manifest),
        overview=_overview(report) if steps else None,
        quality=_quality_rows(report),
        steps_table=steps_table(report),
        steps=[_section(report, step) for step in steps],
        statistics=statistics_table(report.get("statistics") or {}, "Statistics of every column"),
        shards=_shards(manifest),
        about_shards=_about_shards(manifest),
    )


def write_report_html(
    folder: str | Path, report: Mapping[str, Any], manifest: Mapping[str, Any] | None = None
) -> Path:
    """Write the page as ``report.html``; the folder is made if need be.

    Raises:
        SettingError: the folder cannot be written.
    """
    path = Path(folder) / HTML_FILE
    text = report_html(report, manifest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{path} cannot be written ({error}); choose another folder") from error
    return path


def _summary(report: Mapping[str, Any]) -> str:
    names = [step["name"] for step in report.get("steps", ())]
    return f"{len(names)} steps: {', '.join(names)}" if names else "no step has ended yet"


def _totals(report: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    totals = [
        ("rows read", text_of(report.get("rows_in"))),
        ("rows left", text_of(report.get("rows_out"))),
        ("set aside", text_of(report.get("set_aside"))),
        ("shards", text_of(report.get("shards"))),
        ("seconds", f"{report.get('seconds', 0.0):.1f}"),
    ]
    score = quality(report)
    before, after = score["before"][TOTAL], score["after"][TOTAL]
    if before is not None:
        totals.append(("quality", f"{_percent(before)} to {_percent(after)}"))
    if manifest.get("columns"):
        totals.append(("inputs of a model", text_of(len(manifest["columns"]))))
    if manifest.get("class_names"):
        totals.append(("classes", text_of(len(manifest["class_names"]))))
    return totals


def _quality_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    score = quality(report)
    return [
        {
            "name": name,
            "before": _percent(score["before"][name]),
            "after": _percent(score["after"][name]),
            "before_width": _width(score["before"][name]),
            "after_width": _width(score["after"][name]),
            "how": score["how"][name],
        }
        for name in (*DIMENSIONS, TOTAL)
    ]


def _percent(share: float | None) -> str:
    """A share; one that is not whole never looks as if it were."""
    if share is None:
        return "not counted"
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}".replace("%", " %")


def _width(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _overview(report: Mapping[str, Any]) -> str:
    names = ", ".join(step["name"] for step in report["steps"])
    alt = f"Overview: one small picture each of {names}"
    return inline_svg(preprocessing_figure(report), alt, "overview")


def _section(report: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    """One step: its picture, of cleaning also further columns, and its figures."""
    name = step["name"]
    several = name == "cleaning" and len(columns_of(report, name)) > 1
    return {
        "name": name,
        "note": step.get("note", ""),
        "picture": _picture(report, name, None, name),
        "columns": _every_column(report) if several else "",
        "tables": details_tables(step.get("details") or {}),
    }


def _every_column(report: Mapping[str, Any]) -> str:
    names = ", ".join(columns_of(report, "cleaning"))
    alt = f"Cleaning of every column, small distributions before and after: {names}"
    return inline_svg(cleaning_columns_figure(report), alt, "cleaning-columns")


def _picture(report: Mapping[str, Any], step: str, column: str | None, name: str) -> str:
    figure = step_figure(report, step, column=column)
    return inline_svg(figure, step_in_words(report, step, column), name)


def _about_shards(manifest: Mapping[str, Any]) -> str:
    rows = {"train": 0, "test": 0}
    for entry in manifest.get("shards", ()):
        rows[entry["split"]] = rows.get(entry["split"], 0) + entry["rows"]
    inputs = ", ".join(manifest.get("columns") or ()) or "without names"
    layout = manifest.get("layout", "samples")
    return (
        f"{rows['train']:,} rows to train on and {rows['test']:,} to test by, laid out by "
        f"{layout}. Inputs: {inputs}."
    )


def _shards(manifest: Mapping[str, Any]) -> Table | None:
    """Every shard with its files and checksums."""
    entries = manifest.get("shards") or ()
    if not entries:
        return None
    rows = tuple(
        (
            f"{entry['split']} {entry.get('number', place)}",
            text_of(entry["rows"]),
            ", ".join(_file(each) for each in files_of(entry)),
        )
        for place, entry in enumerate(entries)
    )
    return Table(
        caption=f"{len(rows)} shards", headings=("shard", "rows", "files and checksums"), rows=rows
    )


def _file(file: Mapping[str, Any]) -> str:
    return f"{file['path']} ({file['sha256'][: 2 * SHOWN_BYTES]})"
