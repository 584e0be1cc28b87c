"""Made-up fruit: the same seed gives the same rows, and what was done to them is known."""

from __future__ import annotations

import colorsys

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.fruit import BLOCK_ROWS, SENTINEL, SHARES, SOURCE_NAMES, make_block


def test_the_same_seed_and_block_give_the_same_fruit() -> None:
    first, again, other = make_block(1, 2, 500), make_block(1, 2, 500), make_block(2, 2, 500)
    pd.testing.assert_frame_equal(first.truth, again.truth)
    pd.testing.assert_frame_equal(first.errors, again.errors)
    assert not first.truth["weight_g"].equals(other.truth["weight_g"])


def test_fewer_rows_are_the_first_of_more_rows() -> None:
    few, many = make_block(0, 0, 700), make_block(0, 0, BLOCK_ROWS)
    pd.testing.assert_frame_equal(few.truth, many.truth.iloc[:700])
    for name in SOURCE_NAMES:
        held = many.views[name]
        held = held[held["fruit_id"] < 700].reset_index(drop=True)
        pd.testing.assert_frame_equal(few.views[name], held)


def test_blocks_number_their_fruit_on() -> None:
    assert make_block(0, 3, 10).truth["fruit_id"].tolist() == [
        *range(3 * BLOCK_ROWS, 3 * BLOCK_ROWS + 10)
    ]


def test_sources_hold_their_shares_and_together_every_fruit() -> None:
    block = make_block(0, 0, BLOCK_ROWS)
    for name, share in zip(SOURCE_NAMES, SHARES, strict=True):
        assert len(block.views[name]) / BLOCK_ROWS == pytest.approx(share, abs=0.06)
    held = pd.concat(block.views.values())["fruit_id"]
    assert set(held) == set(block.truth["fruit_id"])
    assert held.duplicated().any()


def test_every_value_that_differs_from_the_truth_is_in_the_list_of_errors() -> None:
    block = make_block(5, 0, BLOCK_ROWS)
    truth = block.truth.set_index("fruit_id")
    for name, view in block.views.items():
        known = block.errors[block.errors["source"] == name]
        for column in ("diameter_cm", "weight_g", "sweetness_brix", "price_eur", "fruit", "city"):
            true = truth.loc[view["fruit_id"], column].to_numpy()
            seen = view[column].to_numpy()
            wrong = set(view.loc[~((seen == true) | (np.isnan(seen) & np.isnan(true))), "fruit_id"])
            assert wrong == set(known.loc[known["column"] == column, "fruit_id"])
    assert (pd.concat(block.views.values())["diameter_cm"] == SENTINEL).any()


def test_colours_are_those_of_the_standard_library() -> None:
    from labkit.preprocess.fruit import _rgb

    hues = np.array([0.0, 31.0, 108.0, 200.0, 359.0])
    found = np.stack(_rgb(hues, np.full(5, 0.8), np.full(5, 0.9)), axis=1)
    expected = [np.rint(255 * np.array(colorsys.hsv_to_rgb(hue / 360, 0.8, 0.9))) for hue in hues]
    np.testing.assert_array_equal(found, expected)
