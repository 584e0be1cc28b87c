"""Dates and times as numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from labkit.preprocess.sources.fields import Field

NS_PER_DAY = 86_400 * 10**9


def read_dates(array: pa.Array, field: Field) -> NDArray[np.float64]:
    """(rows,) time since 1970-01-01 in UTC, or a part of the date; NaN where there is none.

    Args:
        array: dates, times or texts.
        field: its ``date`` is the format of texts, its ``part`` what is wanted; else its ``factor``
            is the units of time in a day.
    """
    encoded = array.dictionary_encode()
    distinct = encoded.dictionary
    kind = distinct.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamps = pd.to_datetime(distinct.cast(pa.timestamp("ns"), safe=False).to_pandas(), utc=True)
    else:
        text = distinct.cast(pa.string()).to_pandas()
        written = "ISO8601" if field.date == "iso" else field.date
        stamps = pd.to_datetime(text, format=written, errors="coerce", utc=True)
    numbers = np.append(_wanted(stamps, field), np.nan)
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: NDArray[np.float64] = numbers[places]
    return found


def _wanted(stamps: pd.Series[pd.Timestamp], field: Field) -> NDArray[np.float64]:
    if field.part:
        name = {"weekday": "day_of_week"}.get(field.part, field.part)
        read: NDArray[np.float64] = getattr(stamps.dt, name).to_numpy(np.float64, na_value=np.nan)
        return read
    whole = stamps.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    # divided, so that whole hours are whole numbers
    return np.where(stamps.isna(), np.nan, whole / (NS_PER_DAY / field.factor))
