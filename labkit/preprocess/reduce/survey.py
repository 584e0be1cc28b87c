"""First pass of reduction: what each column's training rows hold, and a sample of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.reduce.distinct import Distinct, distinct_of, merge_distinct
from labkit.preprocess.schema import KEY, MISSING, column_values
from labkit.preprocess.split import hash_ids, is_test


class Facts(NamedTuple):
    """What one part's training rows, or all, say about a column; infinite counts as missing."""

    num_values: int
    least: float
    greatest: float
    distinct: Distinct
    checksum: int  # of which row holds what, gaps included: equal for equal columns

    @property
    def constant(self) -> bool:
        """One value, or none."""
        return self.num_values == 0 or self.least == self.greatest


class Survey(NamedTuple):
    """One part's first pass, or that of all parts."""

    num_rows: int  # of the training split
    facts: dict[str, Facts]
    sample: pd.DataFrame  # KEY, the columns and the label of the sampled training rows


def train_rows(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows,) whether each row belongs to the training split."""
    return ~is_test(frame[KEY].to_numpy())


def values_of(frame: pd.DataFrame, column: str, categories: Sequence[str]) -> NDArray[np.float64]:
    """(rows,) a number column, or the codes of a category; NaN where missing."""
    if column not in categories:
        return column_values(frame, column)
    codes = frame[column].to_numpy().astype(np.float64)
    codes[codes == MISSING] = np.nan
    return codes


def survey_part(
    frame: pd.DataFrame,
    *,
    columns: Sequence[str],
    categories: Sequence[str],
    label: str,
    share: float,
) -> Survey:
    """One part's first pass.

    Args:
        frame: a part's rows.
        columns: number and category columns to look at.
        categories: which of them are categories.
        label: goes along in the sample; empty for none.
        share: of the rows that is sampled; a row is in or out by its key alone.
    """
    train = train_rows(frame)
    # ~ keeps the sample apart from the split and the shuffle, which hash the key itself
    order = hash_ids(~frame[KEY].to_numpy()[train])
    facts = {
        name: _facts(values_of(frame, name, categories)[train], order | np.uint64(1))
        for name in columns
    }
    sampled = np.flatnonzero(train)
    if share < 1:
        sampled = sampled[order < np.uint64(share * 2.0**64)]
    wanted = [KEY, *dict.fromkeys([*columns, *([label] if label else [])])]
    return Survey(int(train.sum()), facts, frame[wanted].iloc[sampled])


def _facts(values: NDArray[np.float64], weights: NDArray[np.uint64]) -> Facts:
    present = np.isfinite(values)
    # one pattern of bits for 0 and -0, and one for every kind of gap
    plain = np.where(present, values, np.nan) + 0.0
    hashes = hash_ids(plain.view(np.int64))
    checksum = int((hashes * weights).sum(dtype=np.uint64))
    if not present.all():
        values, hashes = values[present], hashes[present]
    return Facts(
        num_values=len(values),
        least=float(values.min()) if len(values) else math.inf,
        greatest=float(values.max()) if len(values) else -math.inf,
        distinct=distinct_of(values, hashes),
        checksum=checksum,
    )


def merge_surveys(parts: Sequence[Survey]) -> Survey:
    """The first pass of all parts together; the same however the rows are cut."""
    facts = {name: _merge_facts([part.facts[name] for part in parts]) for name in parts[0].facts}
    sample = pd.concat([part.sample for part in parts], ignore_index=True)
    sample = sample.sort_values(KEY, kind="stable", ignore_index=True)
    return Survey(sum(part.num_rows for part in parts), facts, sample)


def _merge_facts(parts: Sequence[Facts]) -> Facts:
    return Facts(
        num_values=sum(part.num_values for part in parts),
        least=min(part.least for part in parts),
        greatest=max(part.greatest for part in parts),
        distinct=merge_distinct([part.distinct for part in parts]),
        checksum=sum(part.checksum for part in parts) % 2**64,
    )
