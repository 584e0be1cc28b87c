"""The common columns that every source is brought to, and the partition that carries them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEY = "fruit_id"  # int64
SOURCE = "source"  # int8: priority of the source, 0 first
LABEL = "fruit"  # the class to be learned

FRUITS = ("orange", "watermelon")
CITIES = (
    "Valencia",
    "Seville",
    "Faro",
    "Catania",
    "Gannan",
    "Beihai",
    "Daxing",
    "Turpan",
    "Fresno",
    "Orlando",
)

# float64, NaN where missing; the unit stands in the name, colours are 0..255
NUMERIC = (
    "diameter_cm",
    "weight_g",
    "red",
    "green",
    "blue",
    "sweetness_brix",
    "price_eur",
    "batch_no",
    "harvest_year",
)
# int8 place in the list of names, MISSING where unknown
CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType({LABEL: FRUITS, "city": CITIES})
MISSING = -1

MAX_PARTS = 64
MIN_PART_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One part of the rows, as it lies in one worker's memory.

    Attributes:
        frame: the rows; a column each of KEY, SOURCE, NUMERIC and CATEGORIES, later the components.
        set_aside: rows that could not be used, with the reason; never silently dropped.
        counts: what the step that made this partition did, by name; counts add up over partitions.
    """

    frame: pd.DataFrame
    set_aside: pd.DataFrame = field(default_factory=pd.DataFrame)
    counts: Mapping[str, int] = field(default_factory=dict)


def counts_of(partition: Partition) -> Mapping[str, int]:
    """The partition's counts: small enough to travel to the client."""
    return partition.counts


def add_counts(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Counts of all partitions together."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return total


def rows_per_part(num_rows: int) -> int:
    """Rows that make a part of a table: set by the data alone, never by the number of workers.

    Results that depend on where sums are cut stay the same on any cluster this way.
    """
    return max(MIN_PART_ROWS, -(-num_rows // MAX_PARTS))


def column_values(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(rows,) one numeric column as float64, NaN where missing."""
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
