"""Rows that are set aside: kept beside the dataset with the reason, never lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit.preprocess.schema import KEY, SOURCE, Column, Schema

SET_ASIDE = "set_aside"  # folder in the dataset's folder
STAGE = "integration"


def describe_rows(
    rows: pd.DataFrame, schema: Schema, sources: Sequence[str], reason: str
) -> pd.DataFrame:
    """Rows in the common columns, in the form of the sources' own set-aside rows.

    Returns:
        A row each: ``source``, ``file``, ``row`` (here the key), ``reason``, ``content`` (JSON).
    """
    columns: dict[str, list[Any]] = {SOURCE: [sources[at] for at in rows[SOURCE].to_numpy()]}
    for column in schema.columns:
        columns[column.name] = _plain(rows[column.name], column)
    contents = [
        json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)
        for values in zip(*columns.values(), strict=True)
    ]
    return pd.DataFrame(
        {
            "source": [STAGE] * len(rows),
            "file": [""] * len(rows),
            "row": rows[KEY].to_numpy(dtype=np.int64),
            "reason": [reason] * len(rows),
            "content": contents,
        }
    )


def _plain(values: pd.Series, column: Column) -> list[Any]:
    """Numbers, names and texts, ``None`` where missing."""
    if column.kind == "category":
        names: list[Any] = [*column.names, None]  # MISSING is the last
        return [names[code] for code in values.to_numpy()]
    objects = values.to_numpy(dtype=object, copy=True)
    objects[values.isna().to_numpy()] = None
    plain: list[Any] = objects.tolist()
    return plain


def save_set_aside(
    set_aside: pd.DataFrame, number: int, *, folder: str, stage: str
) -> dict[str, int]:
    """Write the rows that a part set aside; returns how many, by reason.

    Args:
        set_aside: rows of ``source``, ``file``, ``row``, ``reason``, ``content``.
        number: of the part.
        folder: the dataset's folder.
        stage: first part of the file's name.
    """
    if set_aside.empty:
        return {}
    target = Path(folder) / SET_ASIDE / f"{stage}-{number:05d}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".writing")
    set_aside.to_parquet(draft, index=False)
    draft.replace(target)  # there whole, or not at all; a task may be done twice
    reasons = set_aside["reason"].value_counts()
    return {str(reason): int(count) for reason, count in reasons.items()}
