"""Encoding: a category becomes numbers that a model can be trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SettingError
from labkit.preprocess.schema import MISSING
from labkit.preprocess.transform.settings import MAX_NAMES, Coding


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """One column's categories as numbers.

    Attributes:
        output: ``one_hot`` or ``code``.
        names: of all categories, in the order of their codes.
        seen: codes that the training rows hold. Others, of new data, are as if missing: all
            columns 0 for ``one_hot``, and -1 for ``code``.
    """

    output: Coding
    names: tuple[str, ...]
    seen: tuple[int, ...]

    def names_of(self, column: str) -> tuple[str, ...]:
        """Names of the inputs that the column becomes."""
        if self.output == "code":
            return (column,)
        return tuple(f"{column}={self.names[code]}" for code in self.seen)

    def write(self, codes: NDArray[np.int32], inputs: NDArray[np.float32]) -> None:
        """Fill ``inputs`` (rows, number of names) from codes (rows,)."""
        if self.output == "code":
            inputs[:, 0] = np.where(self._is_seen(codes), codes, MISSING)
            return
        for place, code in enumerate(self.seen):
            inputs[:, place] = codes == code

    def count_unseen(self, codes: NDArray[np.int32]) -> int:
        """Rows whose category is known, but not from the training rows."""
        return int(((codes != MISSING) & ~self._is_seen(codes)).sum())

    def _is_seen(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = np.isin(codes, np.array(self.seen, dtype=np.int32))
        return known


def fit_encode(
    column: str, output: Coding, names: tuple[str, ...], counts: NDArray[np.int64]
) -> Encode:
    """How a column is encoded.

    Args:
        column: for the message.
        output: asked for.
        names: of the categories.
        counts: (names,) training rows of each.
    Raises:
        SettingError: too many different names for a column each.
    """
    seen = tuple(int(code) for code in np.flatnonzero(counts))
    if output == "one_hot" and len(seen) > MAX_NAMES:
        raise SettingError(
            f"column {column!r} holds {len(seen)} names, too many for a column each (at most "
            f"{MAX_NAMES}): generalise it first, with [transformation.generalise.{column}], or "
            f'choose encode_columns.{column} = "code"'
        )
    return Encode(output=output, names=names, seen=seen)
