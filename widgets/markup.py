"""The few pieces of HTML that the panels show; all text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def alert(text: str) -> str:
    """An error, announced at once by screen readers; nothing for an empty text."""
    return f'<div class="lab-error" role="alert">{escape(text)}</div>' if text else ""


def note(text: str, label: str) -> str:
    """A quiet remark beside a control."""
    return (
        f'<div class="lab-note" role="note" aria-label="{escape(label)}">{escape(text)}</div>'
        if text
        else ""
    )


def reason_lines(lines: Sequence[str], group: str) -> str:
    """Why controls of a group are off, one line a reason; nothing where none is."""
    if not lines:
        return ""
    label = escape(f"{group}: not available now", quote=True)
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="lab-reasons" aria-label="{label}">{items}</ul>'


def banner(text: str, level: str, more: str = "") -> str:
    """What kind of run is shown; ``level`` is measured, emulated or untrustworthy."""
    detail = f"<span>{escape(more)}</span>" if more else ""
    return (
        f'<div class="lab-banner {level}" role="note" aria-label="Kind of run">'
        f"<b>{escape(text)}</b>{detail}</div>"
    )


def badge(text: str, level: str, more: str) -> str:
    """A verdict; ``level`` is good, open or bad."""
    mark = {"good": "\u2713", "open": "\u2248", "bad": "\u2717"}[level]
    return (
        f'<div class="lab-badge {level}" role="status" aria-label="Parity">'
        f'<b><span aria-hidden="true">{mark}</span> {escape(text)}</b> {escape(more)}</div>'
    )


def file_links(what: str, paths: Iterable[str]) -> str:
    """Paths of files that were written; the browser side makes links of them in JupyterLab."""
    links = ", ".join(
        f'<a class="lab-file" data-path="{escape(path, quote=True)}">{escape(path)}</a>'
        for path in paths
    )
    return f'<p class="lab-files">{escape(what)} {links}</p>'


def hint(text: str) -> str:
    """What to do next, where a picture will be."""
    return f'<div class="lab-hint">{escape(text)}</div>'


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, prose: bool = False
) -> str:
    """An accessible table; the first cell of a row is its header, numbers are right-aligned.

    Args:
        caption: what the table shows.
        columns: headings.
        rows: cells, as text.
        prose: whether the last column is running text, which may wrap.
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(cell)}</th>' if at == 0 else f"<td>{escape(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="lab-table{" prose" if prose else ""}"><table>'
        f"<caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, content: str) -> str:
    """HTML that opens on demand; ``content`` is markup already."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def size(num_bytes: float) -> str:
    """Bytes for people: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Seconds for people, in the unit that suits them: 1.25 s, 12.5 ms."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            value = seconds * factor
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    raise AssertionError("unreachable")
