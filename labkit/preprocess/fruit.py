"""Oranges and watermelons: made-up fruit, and how three sources describe it, with their errors.

Everything is drawn block by block, each block from its own random streams, and a block is
always drawn whole: the same seed gives the same rows whatever files, workers or row count they
end in. What was done to each value is known, so that the cleaning can be scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FRUIT_ID, LABEL = "fruit_id", "fruit"
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
BLOCK_ROWS = 4096
SOURCE_NAMES = ("orchard", "market", "questionnaire")
SHARES = (0.6, 0.3, 0.1)
OVERLAP = 0.05  # fruits that a second, random source describes as well
DUPLICATES = 0.01
MISSING_RATE = 0.03
FLIP_RATE = 0.005
# (column, error, share of the rows)
WRONG_VALUES = (
    ("diameter_cm", "sentinel", 0.002),
    ("diameter_cm", "decimal_shift", 0.003),
    ("weight_g", "decimal_shift", 0.003),
    ("sweetness_brix", "noise", 0.002),
)
SENTINEL = -999.0
SHIFTS = MappingProxyType({"diameter_cm": 10.0, "weight_g": 1000.0})
MEASURED = ("diameter_cm", "weight_g", "sweetness_brix", "price_eur")
HARVEST_YEAR = 2024
STREAMS = ("truth", "routing", *SOURCE_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class FruitBlock:
    """One block of fruit.

    Attributes:
        truth: a row a fruit, in the common columns.
        views: per source, the rows it holds, in the common columns and units but with its errors.
        errors: what was done to which value: fruit_id, source, column, error.
    """

    truth: pd.DataFrame
    views: dict[str, pd.DataFrame]
    errors: pd.DataFrame


def make_block(seed: int, block: int, num_rows: int) -> FruitBlock:
    """The first rows of one block.

    Args:
        seed: of the whole data set.
        block: number of the block, >= 0; its first fruit is ``block * BLOCK_ROWS``.
        num_rows: rows to keep, 1 to BLOCK_ROWS.
    """
    truth = _truth(_stream(seed, block, "truth"), block)
    routing = _stream(seed, block, "routing")
    first = np.searchsorted(np.cumsum(SHARES)[:-1], routing.random(BLOCK_ROWS), side="right")
    overlap = routing.random(BLOCK_ROWS) < OVERLAP
    second = np.where(overlap, routing.integers(0, len(SOURCE_NAMES), BLOCK_ROWS), first)
    kept = np.arange(BLOCK_ROWS) < num_rows
    views: dict[str, pd.DataFrame] = {}
    errors: list[pd.DataFrame] = []
    for number, name in enumerate(SOURCE_NAMES):
        held = kept & ((first == number) | (second == number))
        random = _stream(seed, block, name)
        view, changed = _with_errors(random, truth)
        # drawn for the whole block, whoever is held: rows never depend on how many are kept
        repeated = held & (random.random(BLOCK_ROWS) < DUPLICATES)
        changed["*", "duplicate"] = repeated
        views[name] = pd.concat([view[held], view[repeated]], ignore_index=True)
        errors.extend(
            pd.DataFrame(
                {
                    FRUIT_ID: truth[FRUIT_ID].to_numpy()[mask & held],
                    "source": name,
                    "column": column,
                    "error": error,
                }
            )
            for (column, error), mask in changed.items()
        )
    return FruitBlock(truth=truth[kept], views=views, errors=pd.concat(errors, ignore_index=True))


def _stream(seed: int, block: int, stream: str) -> np.random.Generator:
    """An independent generator for each (seed, block, purpose)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(block, STREAMS.index(stream)))
    return np.random.Generator(np.random.PCG64DXSM(sequence))


def _truth(random: np.random.Generator, block: int) -> pd.DataFrame:
    n = BLOCK_ROWS
    melon = random.random(n) < 0.4
    diameter_cm = np.exp(np.where(melon, random.normal(3.1, 0.2, n), random.normal(2.03, 0.13, n)))
    density = np.where(melon, 0.93, 0.95) * np.exp(random.normal(0, 0.06, n))  # g per cm3
    weight_g = density * np.pi / 6 * diameter_cm**3
    hue_deg = np.where(melon, random.normal(108, 17, n), random.normal(34, 9, n)) % 360
    saturation = np.clip(random.normal(0.78, 0.08, n), 0.2, 1)
    value = np.clip(
        np.where(melon, random.normal(0.55, 0.1, n), random.normal(0.9, 0.05, n)), 0.15, 1
    )
    red, green, blue = _rgb(hue_deg, saturation, value)
    return pd.DataFrame(
        {
            FRUIT_ID: np.arange(block * n, (block + 1) * n, dtype=np.int64),
            LABEL: melon.astype(np.int8),
            "diameter_cm": diameter_cm,
            "weight_g": weight_g,
            "red": red,
            "green": green,
            "blue": blue,
            "sweetness_brix": np.where(melon, 10.5, 11.6) + random.normal(0, 1.1, n),
            "price_eur": 0.2 + 0.002 * weight_g * np.exp(random.normal(0, 0.2, n)),
            "batch_no": random.integers(10**9, 10**12, n).astype(np.float64),
            "harvest_year": float(HARVEST_YEAR),
            "city": random.integers(0, len(CITIES), n).astype(np.int8),
        }
    )


def _rgb(
    hue_deg: NDArray[np.float64], saturation: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Whole-numbered red, green and blue, 0..255, of colours given by hue.

    Source: Smith 1978, doi:10.1145/965139.807361, in its closed form.
    """
    channels = []
    for offset in (5, 3, 1):
        k = (offset + hue_deg / 60) % 6
        level = value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
        channels.append(np.rint(255 * level))
    return tuple(channels)


def _with_errors(
    random: np.random.Generator, truth: pd.DataFrame
) -> tuple[pd.DataFrame, dict[tuple[str, str], NDArray[np.bool_]]]:
    """One source's view of a whole block, and which rows each error hit."""
    n = len(truth)
    view = truth.copy()
    changed: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for column, error, rate in WRONG_VALUES:
        hit = random.random(n) < rate
        values = view[column].to_numpy(copy=True)
        if error == "sentinel":
            values[hit] = SENTINEL
        elif error == "decimal_shift":
            values[hit] *= SHIFTS[column]
        else:
            values += np.where(hit, random.choice([-1, 1], n) * random.uniform(15, 30, n), 0)
        view[column] = values
        changed[column, error] = hit
    flipped = random.random(n) < FLIP_RATE
    label = view[LABEL].to_numpy()
    view[LABEL] = np.where(flipped, len(FRUITS) - 1 - label, label).astype(np.int8)
    changed[LABEL, "label_flip"] = flipped
    for column in MEASURED:
        lost = random.random(n) < MISSING_RATE
        view[column] = view[column].mask(lost)
        changed[column, "missing"] = lost
    return view, changed
