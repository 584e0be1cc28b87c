"""Reading one column's cells: numbers, names in several spellings, sizes with units, colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import CATEGORIES, CITIES, FRUITS, LABEL


class Cells(NamedTuple):
    """What was read: ``values`` (rows,) float64 with NaN where empty or unreadable."""

    values: NDArray[np.floating[Any]]
    unreadable: NDArray[np.bool_]  # (rows,) not empty, yet of no known form


# Spellings are compared without case, spaces and outer blanks.
SPELLINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        LABEL: {
            **{name: float(code) for code, name in enumerate(FRUITS)},
            **dict.fromkeys(("ornage", "naranja", "apfelsine", "橙子"), 0.0),
            **dict.fromkeys(("sandía", "wassermelone", "西瓜"), 1.0),
        },
        "city": {name.lower().replace(" ", ""): float(code) for code, name in enumerate(CITIES)},
    }
)
assert SPELLINGS.keys() == CATEGORIES.keys()

CM_PER_UNIT = MappingProxyType({"cm": 1.0, "mm": 0.1, "in": 2.54})

# A typical red, green and blue for each colour word.
COLOUR_WORDS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "red": (224.0, 98.0, 50.0),
        "orange": (228.0, 154.0, 50.0),
        "yellow": (215.0, 200.0, 50.0),
        "light green": (105.0, 140.0, 31.0),
        "green": (51.0, 140.0, 31.0),
        "dark green": (31.0, 140.0, 76.0),
    }
)
HEX_PAIRS = MappingProxyType({f"{value:02x}": float(value) for value in range(256)})


def read_numbers(column: pd.Series[Any], factor: float) -> Cells:
    """Numbers, or text that is one; infinities are unreadable."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    finite = np.isfinite(values)
    return Cells(np.where(finite, values * factor, np.nan), ~finite & ~_empty(column))


def read_names(column: pd.Series[Any], factor: float, *, category: str) -> Cells:
    """Names in any known spelling, as their place in the category's list."""
    text = column.astype("string").str.lower().str.replace(" ", "", regex=False)
    return _looked_up(column, text, SPELLINGS[category])


def read_sizes(column: pd.Series[Any], factor: float) -> Cells:
    """Sizes written with their unit, such as ``"7,5 cm"`` or ``"3 in"``, in cm."""
    parts = column.astype("string").str.extract(r"^\s*(-?\d+(?:[.,]\d+)?)\s*(cm|mm|in)\s*$")
    number = parts[0].str.replace(",", ".", regex=False)
    values = pd.to_numeric(number, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    unit = parts[1].map(CM_PER_UNIT).to_numpy(dtype=np.float64, na_value=np.nan)
    return Cells(np.multiply(values, unit * factor), np.isnan(values) & ~_empty(column))


def read_hex(column: pd.Series[Any], factor: float, *, channel: int) -> Cells:
    """One channel, 0..255, of colours such as ``"#ff8800"``."""
    text = column.astype("string").str.strip().str.lower()
    pair = text.str.slice(1 + 2 * channel, 3 + 2 * channel)
    return _looked_up(column, pair.where(text.str.len() == 7), HEX_PAIRS)


def read_colour_words(column: pd.Series[Any], factor: float, *, channel: int) -> Cells:
    """One channel, 0..255, that is typical for a colour word."""
    typical = {word: levels[channel] for word, levels in COLOUR_WORDS.items()}
    return _looked_up(column, column.astype("string").str.strip().str.lower(), typical)


def _looked_up(
    column: pd.Series[Any], text: pd.Series[Any], values_by_text: Mapping[str, float]
) -> Cells:
    values = text.map(values_by_text).to_numpy(dtype=np.float64, na_value=np.nan)
    return Cells(values, np.isnan(values) & ~_empty(column))


def _empty(column: pd.Series[Any]) -> NDArray[np.bool_]:
    """(rows,) cells that hold nothing: absent, or only blanks."""
    empty = column.isna().to_numpy()
    if column.dtype.kind in "OTU":  # text
        empty = empty | (column.astype("string").str.strip() == "").fillna(True).to_numpy(bool)
    return empty


Read = Callable[["pd.Series[Any]", float], Cells]

READS: Mapping[str, Read] = MappingProxyType(
    {
        "number": read_numbers,
        "fruit": partial(read_names, category=LABEL),
        "city": partial(read_names, category="city"),
        "size_cm": read_sizes,
        **{
            f"hex_{name}": partial(read_hex, channel=channel)
            for channel, name in enumerate(("red", "green", "blue"))
        },
        **{
            f"word_{name}": partial(read_colour_words, channel=channel)
            for channel, name in enumerate(("red", "green", "blue"))
        },
    }
)
