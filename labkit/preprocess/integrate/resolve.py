"""Step 2, integration: one row a fruit, whatever sources describe it and however often.

For each column the first source that has a value is believed, in the order of the sources'
priority. Where sources contradict each other this is counted as a conflict. A fruit that no source
names the class of cannot be learned from: it is set aside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import (
    CATEGORIES,
    KEY,
    LABEL,
    MISSING,
    NUMERIC,
    SOURCE,
    Partition,
    column_values,
)

# Questionnaires round and name colours by word, so only larger relative differences contradict.
CONFLICT_TOLERANCE: Mapping[str, float] = MappingProxyType(
    {"diameter_cm": 0.02, "weight_g": 0.02, "sweetness_brix": 0.02, "price_eur": 0.05}
)


def resolve(pieces: Sequence[pd.DataFrame]) -> Partition:
    """One bucket's rows, a row a fruit, ordered by identifier.

    Args:
        pieces: all rows of the bucket, in partition order; a fruit may have several.
    Returns:
        The partition; ``counts`` has duplicates (rows of a fruit beyond its first in one source),
        merged (rows of further sources), and conflicts by column.
    """
    rows = pd.concat(pieces, ignore_index=True)
    rows = rows.sort_values([KEY, SOURCE], kind="stable", ignore_index=True)
    if rows.empty:
        return Partition(frame=rows, set_aside=_set_aside(rows))
    ids = rows[KEY].to_numpy()
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    repeats = rows.duplicated([KEY, SOURCE]).to_numpy()
    counts = {
        "duplicates": int(repeats.sum()),
        "merged": len(rows) - len(starts) - int(repeats.sum()),
    }
    columns: dict[str, Any] = {KEY: ids[starts], SOURCE: rows[SOURCE].to_numpy()[starts]}
    for name in NUMERIC:
        values = column_values(rows, name)
        columns[name] = _first_present(values, starts)
        if name in CONFLICT_TOLERANCE:
            counts[f"conflicts: {name}"] = _conflicts(values, starts, CONFLICT_TOLERANCE[name])
    for name in CATEGORIES:
        codes = rows[name].to_numpy().astype(np.float64)
        values = np.where(codes == MISSING, np.nan, codes)
        first = _first_present(values, starts)
        columns[name] = np.where(np.isnan(first), MISSING, first).astype(np.int8)
        counts[f"conflicts: {name}"] = _conflicts(values, starts, 0.0)
    frame = pd.DataFrame(columns)
    known = frame[LABEL] != MISSING
    return Partition(
        frame=frame[known].reset_index(drop=True),
        set_aside=_set_aside(frame[~known]),
        counts=counts,
    )


def _first_present(values: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """(groups,) first value that is not NaN in each run of rows, NaN where there is none."""
    num_rows = len(values)
    place = np.where(np.isnan(values), num_rows, np.arange(num_rows))
    first = np.minimum.reduceat(place, starts)
    # place num_rows stands for "none"; no group reaches past its own end otherwise
    ends = np.append(starts[1:], num_rows)
    found = first < ends
    return np.where(found, values[np.where(found, first, 0)], np.nan)


def _conflicts(values: NDArray[np.float64], starts: NDArray[np.intp], tolerance: float) -> int:
    """Fruits whose sources differ by more than the tolerance, relative to the larger value."""
    greatest = np.fmax.reduceat(values, starts)
    least = np.fmin.reduceat(values, starts)
    size = np.maximum(np.abs(greatest), np.abs(least))
    return int((greatest - least > tolerance * size).sum())  # NaN compares as False


def _set_aside(fruits: pd.DataFrame) -> pd.DataFrame:
    """Fruits without a class, in the form of the sources' own set-aside rows."""
    contents = [json.dumps(row, allow_nan=True) for row in fruits.to_dict("records")]
    return pd.DataFrame(
        {
            "source": ["integration"] * len(fruits),
            "file": [""] * len(fruits),
            "row": fruits[KEY].to_numpy() if len(fruits) else np.zeros(0, dtype=np.int64),
            "reason": ["no source names the class"] * len(fruits),
            "content": contents,
        }
    )


def save_set_aside(partition: Partition, number: int, *, folder: str, stage: str) -> dict[str, int]:
    """Write the rows that a partition set aside; returns how many, by reason.

    Args:
        partition: from reading or from ``resolve``.
        number: of the partition.
        folder: the dataset's folder.
        stage: first part of the file's name.
    """
    if partition.set_aside.empty:
        return {}
    path = Path(folder) / "set_aside" / f"{stage}-{number:05d}.parquet"
    partition.set_aside.to_parquet(path, index=False)
    reasons = partition.set_aside["reason"].value_counts()
    return {str(reason): int(count) for reason, count in reasons.items()}
