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
