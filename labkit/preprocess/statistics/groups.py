"""Which rows belong together: by class, by source, and all of them.

The rows of a part are brought in the order of their cells (a source and a class) once; then every
group of rows is one or a few slices, and nothing more is copied.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING, SOURCE, Schema, label_codes

Group = tuple[str, int]  # ("all", 0), ("class", its code) or ("source", its code)
ALL: Group = ("all", 0)
Found = TypeVar("Found")


class Cell(NamedTuple):
    """Rows of one source and one class; ``MISSING`` for one that is not known or not asked for."""

    source: int
    label: int


class Cells:
    """The cells of one part.

    Args:
        frame: the rows.
        schema: names the label; without one there are no classes.
        by_source: whether the sources are told apart.
    """

    def __init__(self, frame: pd.DataFrame, schema: Schema, *, by_source: bool) -> None:
        num_rows = len(frame)
        labels = label_codes(frame, schema)
        codes = labels - MISSING
        width = len(schema.class_names) + 1
        if by_source:
            codes = (frame[SOURCE].to_numpy(dtype=np.int32) - MISSING) * width + codes
        counts = np.bincount(codes)
        present = np.flatnonzero(counts)
        self.cells = [
            Cell(int(code // width) + MISSING, int(code % width) + MISSING) for code in present
        ]
        self.num_rows = num_rows
        starts = [0, *np.cumsum(counts[present]).tolist()]
        self.slices = [slice(start, stop) for start, stop in pairwise(starts)]
        place = np.zeros(len(counts), dtype=np.int64)
        place[present] = np.arange(len(present))
        self.of_row = place[codes]  # (rows,) place of each row's cell
        self._order = None
        if len(present) > 1:
            # numpy sorts short whole numbers by their digits, in a time that grows with the rows
            short = self.of_row.astype(np.uint16) if len(present) < 1 << 16 else self.of_row
            self._order = np.argsort(short, kind="stable")

    def ordered(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) the values in the order of the cells; not copied where there is one cell."""
        return values if self._order is None else values[self._order]

    def slices_by_group(self) -> dict[Group, list[slice]]:
        """Where each group's rows lie in the ordered rows, neighbours as one slice."""
        found: dict[Group, list[slice]] = {}
        for cell, part in zip(self.cells, self.slices, strict=True):
            for group in groups_of(cell):
                slices = found.setdefault(group, [])
                if slices and slices[-1].stop == part.start:
                    slices[-1] = slice(slices[-1].start, part.stop)
                else:
                    slices.append(part)
        return found


def groups_of(cell: Cell) -> Sequence[Group]:
    """The groups that a cell's rows belong to."""
    groups = [ALL]
    if cell.source != MISSING:
        groups.append(("source", cell.source))
    if cell.label != MISSING:
        groups.append(("class", cell.label))
    return groups


def by_group(
    parts: Sequence[Mapping[tuple[str, Cell], Found]],
) -> dict[Hashable, list[Found]]:
    """What the parts found, by (column, group) instead of (column, cell)."""
    found: dict[Hashable, list[Found]] = {}
    for part in parts:
        for (column, cell), value in part.items():
            for group in groups_of(cell):
                found.setdefault((column, group), []).append(value)
    return found
