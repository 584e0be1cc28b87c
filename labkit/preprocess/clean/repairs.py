"""The log of repairs: what was changed, from what to what and why; it takes every repair back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean.kinds import KEPT, NAMES
from labkit.preprocess.clean.rules import CleaningRules, Kinds
from labkit.preprocess.schema import KEY

COLUMNS = ("key", "row", "column", "kind", "before", "after")


def repairs(before: pd.DataFrame, after: pd.DataFrame, rules: CleaningRules) -> pd.DataFrame:
    """Every repair of one part.

    Args:
        before: the rows as they came.
        after: the same rows as ``rules.apply`` left them.
        rules: that were applied.
    Returns:
        A row a repair, by column and row: ``key`` of the thing, ``row`` in the part, ``column``,
        ``kind``, and the value ``before`` and ``after``: NaN where missing, codes of categories.
    """
    return log_of(before, after, rules.repair(before)[1])


def log_of(before: pd.DataFrame, after: pd.DataFrame, kinds: Kinds) -> pd.DataFrame:
    """The same, of repairs whose kinds are known already."""
    rows = {name: np.flatnonzero(codes != KEPT) for name, codes in kinds.items()}
    rows = {name: at for name, at in rows.items() if len(at)}
    key = before[KEY].to_numpy()

    return pd.DataFrame(
        {
            "key": _column([key[at] for at in rows.values()], np.int64),
            "row": _column(list(rows.values()), np.int32),
            "column": pd.Categorical.from_codes(
                _column(
                    [np.full(len(at), list(kinds).index(name)) for name, at in rows.items()],
                    np.int32,
                ),
                categories=pd.Index(list(kinds)),
            ),
            "kind": pd.Categorical.from_codes(
                _column([kinds[name][at] for name, at in rows.items()], np.int8),
                categories=pd.Index(NAMES),
            ),
            "before": _column([before[name].to_numpy()[at] for name, at in rows.items()]),
            "after": _column([after[name].to_numpy()[at] for name, at in rows.items()]),
        }
    )


def _column(pieces: Sequence[NDArray[Any]], dtype: Any = np.float64) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *pieces]).astype(dtype)


def undo(after: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """The rows as they were before cleaning, to the last bit."""
    before = after.copy(deep=False)
    for name, each in log.groupby("column", observed=True):
        values = after[name].to_numpy(copy=True)
        values[each["row"].to_numpy()] = each["before"].to_numpy().astype(values.dtype)
        before[name] = values
    return before


def save_repairs(log: pd.DataFrame, number: int, *, folder: str) -> None:
    """Write one part's repairs as ``folder/repairs/part-NNNNN.parquet``, whole or not at all.

    Args:
        log: of the part.
        number: of the part.
        folder: the dataset's; ``folder/repairs`` must exist.
    """
    target = Path(folder) / "repairs" / f"part-{number:05d}.parquet"
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    log.to_parquet(draft, index=False)
    draft.replace(target)


def load_repairs(folder: str, number: int) -> pd.DataFrame:
    """One part's repairs as ``save_repairs`` wrote them."""
    return pd.read_parquet(Path(folder) / "repairs" / f"part-{number:05d}.parquet")
