"""How often names occur: of categories, and of texts as far as there are not too many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.statistics.groups import Cell, Cells

MAX_TEXTS = 4096  # of so many different texts the counts are kept


class Names(NamedTuple):
    """The names in some rows.

    ``hashes`` are the ``MAX_TEXTS`` smallest hashes of different texts: fewer are all there are,
    and from their greatest follows about how many there are. Source: Bar-Yossef et al. 2002,
    "Counting distinct elements in a data stream", doi:10.1007/3-540-45726-7_1.
    """

    num_known: int = 0
    missing: int = 0
    counts: Mapping[Any, int] | None = None  # by code or text; None: too many texts
    hashes: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)


def names_of_codes(codes: NDArray[np.int32], num_names: int, cells: Cells) -> dict[Cell, Names]:
    """A category's counts in each cell of a part; ``codes`` (rows,) from -1 for missing."""
    width = num_names + 1
    table = np.bincount(cells.of_row * width + codes + 1, minlength=len(cells.cells) * width)
    found = {}
    for cell, counts in zip(cells.cells, table.reshape(-1, width).tolist(), strict=True):
        found[cell] = Names(sum(counts[1:]), counts[0], dict(enumerate(counts[1:])))
    return found


def names_of_texts(texts: pd.Series, cells: Cells) -> dict[Cell, Names]:
    """A text column's counts and hashes in each cell of a part; ``None`` where missing."""
    codes, found_texts = pd.factorize(texts)  # -1 for missing
    different = np.asarray(found_texts, dtype=object)
    hashes = pd.util.hash_array(different, categorize=False)
    width = len(different) + 1
    pairs, counts = np.unique(cells.of_row * width + codes + 1, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(cells.cells) + 1) * width)
    found = {}
    for place, cell in enumerate(cells.cells):
        here = slice(starts[place], starts[place + 1])
        code, count = pairs[here] - place * width - 1, counts[here]
        known = code >= 0
        missing = int(count[~known].sum())
        code, count = code[known], count[known]
        named = dict(zip(different[code].tolist(), count.tolist(), strict=True))
        found[cell] = Names(
            int(count.sum()),
            missing,
            named if len(named) <= MAX_TEXTS else None,
            np.sort(hashes[code])[:MAX_TEXTS],
        )
    return found


def merge_names(parts: Iterable[Names]) -> Names:
    """The names of all parts together, in any order."""
    parts = list(parts)
    hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)]))
    hashes = hashes[:MAX_TEXTS]
    counts: dict[Any, int] = {}
    for part in parts:
        for name, number in (part.counts or {}).items():
            counts[name] = counts.get(name, 0) + number
    too_many = len(hashes) == MAX_TEXTS or any(part.counts is None for part in parts)
    return Names(
        sum(part.num_known for part in parts),
        sum(part.missing for part in parts),
        None if too_many else counts,
        hashes,
    )


def category_figures(names: Names, in_order: Sequence[str]) -> dict[str, Any]:
    """A category's figures; ``in_order`` are the names by code."""
    given = names.counts or {}
    counts = {name: given.get(code, 0) for code, name in enumerate(in_order)}
    return {
        "distinct": sum(number > 0 for number in counts.values()),
        # the first of equals in the category's order, so that ties do not depend on the data
        "mode": max(counts, key=lambda name: counts[name]) if names.num_known else None,
        "counts": counts,
    }


def text_figures(names: Names) -> dict[str, Any]:
    """A text's figures; with too many different texts their number is an estimate, within 5 %."""
    if names.counts is not None:
        # the first of equals in the alphabet
        by_count = sorted(names.counts.items(), key=lambda item: (-item[1], item[0]))
        mode = by_count[0][0] if by_count else None
        return {"distinct": len(by_count), "distinct_is_exact": True, "mode": mode}
    share = int(names.hashes[-1]) / 2**64
    return {"distinct": round((MAX_TEXTS - 1) / share), "distinct_is_exact": False, "mode": None}
