"""Long names on several lines."""

from __future__ import annotations

import textwrap


def wrapped(text: str, width: int, max_lines: int = 2) -> str:
    """``text`` on at most ``max_lines`` lines of about ``width`` characters."""
    lines = textwrap.wrap(
        text, width, max_lines=max_lines, placeholder=" ...", break_long_words=False
    )
    return "\n".join(lines)
