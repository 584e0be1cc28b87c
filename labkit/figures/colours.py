"""Colours made from colours: mixtures, and what can be read on them."""

from __future__ import annotations

from matplotlib.colors import to_hex, to_rgb


def mix(colour: str, other: str, share: float) -> str:
    """``colour`` with that share (0 to 1) of ``other`` in it."""
    red, green, blue = (
        (1 - share) * a + share * b for a, b in zip(to_rgb(colour), to_rgb(other), strict=True)
    )
    return to_hex((red, green, blue))


def luminance(colour: str) -> float:
    """Relative luminance, 0 (black) to 1 (white).

    Source: W3C, Web Content Accessibility Guidelines 2.1.
    """
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(colour: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    lighter, darker = sorted((luminance(colour), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast on ``colour``."""
    return "black" if luminance(colour) > 0.179 else "white"
