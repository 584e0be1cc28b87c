"""New data, treated as the test rows were: through the steps as they were fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.parts import Fitted
from labkit.preprocess.reduce.fitted import Reduction
from labkit.preprocess.schema import KEY, MISSING, Schema
from labkit.preprocess.transform.fitted import Transformation

FITTED: Mapping[str, Callable[[Mapping[str, Any]], Fitted]] = MappingProxyType(
    {
        "cleaning": CleaningRules.from_dict,
        "reduction": Reduction.from_dict,
        "transformation": Transformation.from_dict,
    }
)


def treat(manifest: Mapping[str, Any], rows: pd.DataFrame) -> NDArray[np.float32]:
    """The inputs that a model trained on a dataset takes, for rows whose class is not known.

    Args:
        manifest: of the dataset.
        rows: in its common columns, numbers in their units, categories by name or by code; the
            label, if it is there, is not looked at. Gaps are treated as cleaning says.
    Returns:
        (rows, inputs).
    Raises:
        SourceError: columns that are missing.
    """
    schema = Schema.from_dict(manifest["schema"])
    needed = [column.name for column in schema.columns if column.name != schema.label]
    lacking = [name for name in needed if name not in rows.columns]
    if lacking:
        raise SourceError(
            f"the rows lack the columns {', '.join(lacking)}; dataset {manifest['name']!r} was "
            f"made of {', '.join(needed)}: give them, empty where nothing is known"
        )
    frame = rows[needed].copy()
    for name, names in schema.categories.items():
        if name == schema.label:
            frame[name] = np.full(len(rows), MISSING, dtype=np.int32)
        elif frame[name].dtype.kind not in "iu":
            codes = pd.Index(names).get_indexer(pd.Index(frame[name]))
            frame[name] = codes.astype(np.int32)
    frame[KEY] = np.arange(len(rows), dtype=np.int64)
    for name, read in FITTED.items():
        if name in manifest["fitted"]:
            frame = read(manifest["fitted"][name]).apply(frame)
    return frame[list(manifest["columns"])].to_numpy(dtype=np.float32)
