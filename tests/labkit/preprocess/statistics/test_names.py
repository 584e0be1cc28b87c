"""Names of categories and texts are counted the same in any parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.schema import Schema
from labkit.preprocess.statistics.groups import Cells
from labkit.preprocess.statistics.names import (
    MAX_TEXTS,
    Names,
    category_figures,
    merge_names,
    names_of_texts,
    text_figures,
)


def names_in(texts: list[str | None]) -> Names:
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    cells = Cells(frame, Schema(columns=()), by_source=False)
    found = names_of_texts(frame["text"], cells)
    return merge_names(found.values())


def test_texts_are_counted_and_the_first_of_equals_is_the_mode() -> None:
    parts = [names_in(["pear", None, "fig"]), names_in(["fig", "pear", "kiwi"]), names_in([])]
    for order in (parts, parts[::-1]):
        merged = merge_names(order)
        assert (merged.num_known, merged.missing) == (5, 1)
        assert text_figures(merged) == {
            "distinct": 3, "distinct_is_exact": True, "mode": "fig",
        }  # fmt: skip


def test_texts_that_are_all_missing() -> None:
    merged = names_in([None, None])
    assert (merged.num_known, merged.missing) == (0, 2)
    assert text_figures(merged) == {"distinct": 0, "distinct_is_exact": True, "mode": None}


@pytest.mark.parametrize("num_texts", [MAX_TEXTS, 60_000])
def test_too_many_texts_are_estimated_the_same_for_any_parts(num_texts: int) -> None:
    texts = [f"id-{number}" for number in range(num_texts)]
    whole = text_figures(merge_names([names_in([*texts, *texts[:99]])]))
    shuffled = np.random.default_rng(0).permutation(texts).tolist()
    cut = [names_in(shuffled[place::5]) for place in range(5)]
    again = merge_names([*cut, names_in(texts[:99])])
    assert text_figures(again) == whole
    assert not whole["distinct_is_exact"]
    assert whole["mode"] is None
    assert whole["distinct"] == pytest.approx(num_texts, rel=0.05)


def test_a_category_that_never_occurs_is_in_the_counts() -> None:
    names = Names(3, 1, {0: 1, 1: 0, 2: 2})
    assert category_figures(names, ("a", "b", "c")) == {
        "distinct": 2, "mode": "c", "counts": {"a": 1, "b": 0, "c": 2},
    }  # fmt: skip
    assert category_figures(Names(), ("a",)) == {"distinct": 0, "mode": None, "counts": {"a": 0}}
