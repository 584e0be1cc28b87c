"""A figure as SVG that stands inside a page and takes the page's colours, light or dark."""

from __future__ import annotations

import io
import re
from html import escape

from matplotlib.figure import Figure

from labkit.figures.style import LIGHT

# What the page must define: CSS variables by the colour that they stand in for.
PAGE_COLOURS = {
    LIGHT.foreground: "var(--ink)",
    LIGHT.muted: "var(--muted)",
    LIGHT.background: "var(--paper)",
    LIGHT.grid: "var(--line)",
    LIGHT.strategies["data"]: "var(--accent)",
}
_OPENING = re.compile(r"<svg [^>]*?viewBox=\"(?P<box>[^\"]*)\"[^>]*>", re.DOTALL)


def inline_svg(figure: Figure, alt: str, name: str) -> str:
    """The figure as an SVG element.

    Args:
        figure: drawn in the light theme; its neutral colours become the page's.
        alt: the picture in one sentence.
        name: differs from that of every other picture of the page, as identifiers begin with it.
    Returns:
        Markup; text is drawn as outlines, so it looks the same everywhere.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour.lower(), variable)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    opening = _OPENING.match(svg)
    assert opening is not None, "matplotlib writes the size of a picture into its first element"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{opening["box"]}" role="img" aria-label="{escape(alt, quote=True)}">'
    )
    return head + svg[opening.end() :]
