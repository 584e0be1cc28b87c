"""What a row must satisfy before it is used: checked by pandera where the rows are read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import Column, Schema


def failed_checks(frame: pd.DataFrame, schema: Schema) -> NDArray[np.object_]:
    """(rows,) why a row cannot be used, such as ``"red 300 is above 255"``; ``None`` if it can.

    Args:
        frame: rows in the common columns, numbered from 0.
        schema: its columns say what is least and greatest.
    """
    reasons = np.full(len(frame), None, dtype=object)
    checked = tuple(
        column for column in schema.columns
        if column.kind == "number" and (column.least, column.greatest) != (None, None)
    )  # fmt: skip
    if not checked or not len(frame):
        return reasons
    from pandera.errors import SchemaErrors

    try:
        _checks(checked).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        for index, column, value in zip(
            cases["index"], cases["column"], cases["failure_case"], strict=True
        ):
            reason = _reason(schema.column(column), float(value))
            before = reasons[int(index)]
            reasons[int(index)] = reason if before is None else f"{before}; {reason}"
    return reasons


@lru_cache(maxsize=8)
def _checks(columns: tuple[Column, ...]) -> Any:
    import pandera.pandas as pandera  # takes a second, and many schemas check nothing

    def check(column: Column) -> Any:
        least = -np.inf if column.least is None else column.least
        greatest = np.inf if column.greatest is None else column.greatest
        return pandera.Check.in_range(least, greatest)

    return pandera.DataFrameSchema(
        {each.name: pandera.Column(float, check(each), nullable=True) for each in columns}
    )


def _reason(column: Column, value: float) -> str:
    if column.least is not None and value < column.least:
        return f"{column.name} {value:g} is below {column.least:g}"
    return f"{column.name} {value:g} is above {column.greatest:g}"
