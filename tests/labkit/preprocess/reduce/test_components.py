"""Reduction drops what is useless and finds the components that a single machine finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess.reduce import (
    SCATTER_POINTS,
    Components,
    fit,
    merge_points,
    pick_points,
    principal_components,
    reduce_partition,
    summarise,
)
from labkit.preprocess.schema import CATEGORIES, NUMERIC, Partition
from labkit.preprocess.split import is_test

KEPT = ("diameter_cm", "weight_g", "red", "green", "blue", "sweetness_brix", "price_eur")


@pytest.fixture(scope="module")
def fruit() -> pd.DataFrame:
    """4,000 rows whose seven measures come from three hidden ones and a little noise."""
    random = np.random.default_rng(0)
    measures = random.normal(size=(4000, 3)) @ random.normal(size=(3, len(KEPT)))
    frame = pd.DataFrame(measures + 0.05 * random.normal(size=measures.shape), columns=KEPT)
    frame = frame * [1, 1000, 50, 50, 50, 2, 5] + 10
    return frame.assign(
        fruit_id=np.arange(4000) * 3 + 1000,
        source=0,
        batch_no=random.permutation(4000) + 1.0,
        harvest_year=2024.0,
        **dict.fromkeys(CATEGORIES, 0),
    )


def cut(frame: pd.DataFrame, parts: int) -> list[Partition]:
    places = np.linspace(0, len(frame), parts + 1).astype(int)
    return [Partition(frame=frame.iloc[start:stop]) for start, stop in pairwise(places)]


def fitted(frame: pd.DataFrame, parts: int = 5, explained: float = 0.95) -> Components:
    return fit([summarise(part) for part in cut(frame, parts)], explained)


def test_useless_columns_are_dropped_with_the_reason(fruit: pd.DataFrame) -> None:
    components = fitted(fruit)
    assert components.columns == list(KEPT)
    assert components.dropped.keys() == {"fruit_id", "batch_no", "harvest_year", "city"}
    assert components.dropped["harvest_year"].startswith("constant")
    assert components.dropped["batch_no"].startswith("an identifier")


def test_a_code_that_repeats_is_dropped_as_its_gaps_cannot_be_filled(fruit: pd.DataFrame) -> None:
    components = fitted(fruit.assign(batch_no=fruit["batch_no"] % 10))
    assert components.dropped["batch_no"].startswith("a code")


def test_components_are_those_of_numpys_svd_on_the_training_rows(fruit: pd.DataFrame) -> None:
    components = fitted(fruit)
    train = fruit.loc[~is_test(fruit["fruit_id"].to_numpy()), list(KEPT)].to_numpy()
    standard = (train - train.mean(axis=0)) / train.std(axis=0, ddof=1)
    _, singular, vectors = np.linalg.svd(standard, full_matrices=False)
    shares = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(components.all_explained, shares, atol=1e-12)
    number = len(components.loadings)
    assert number == 3
    found = np.array(components.loadings)
    signs = np.sign((found * vectors[:number]).sum(axis=1))
    np.testing.assert_allclose(found, vectors[:number] * signs[:, np.newaxis], atol=1e-9)


def test_the_fewest_components_that_explain_enough_are_kept(fruit: pd.DataFrame) -> None:
    shares = np.array(fitted(fruit).all_explained)
    for explained in (0.3, 0.8, 0.999, 1.0):
        kept = len(fitted(fruit, explained=explained).loadings)
        assert shares[:kept].sum() >= explained - 1e-9
        assert kept == 1 or shares[: kept - 1].sum() < explained


def test_the_sign_is_fixed_by_the_largest_loading(fruit: pd.DataFrame) -> None:
    loadings = np.array(fitted(fruit).loadings)
    largest = np.abs(loadings).argmax(axis=1)
    assert (loadings[np.arange(len(loadings)), largest] > 0).all()


def test_merging_agrees_with_one_part(fruit: pd.DataFrame) -> None:
    one, many = fitted(fruit, parts=1), fitted(fruit, parts=9)
    np.testing.assert_allclose(one.loadings, many.loadings, atol=1e-9)


def test_projected_training_rows_are_uncorrelated(fruit: pd.DataFrame) -> None:
    components = fitted(fruit)
    reduced = reduce_partition(Partition(frame=fruit), components=components).frame
    assert reduced.columns.tolist() == ["fruit_id", "fruit", *components.names]
    train = reduced.loc[~is_test(reduced["fruit_id"].to_numpy()), components.names].to_numpy()
    covariance = np.cov(train.T)
    np.testing.assert_allclose(np.diag(covariance) / len(KEPT), components.explained, rtol=1e-9)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-9)


def test_the_points_of_the_picture_do_not_depend_on_the_partitions(fruit: pd.DataFrame) -> None:
    def points(parts: int) -> pd.DataFrame:
        return merge_points([pick_points(p, names=["weight_g"]) for p in cut(fruit, parts)])

    assert len(points(4)) == SCATTER_POINTS
    pd.testing.assert_frame_equal(
        points(1).reset_index(drop=True), points(4).reset_index(drop=True)
    )


def test_too_few_rows_are_refused(fruit: pd.DataFrame) -> None:
    train = fruit[~is_test(fruit["fruit_id"].to_numpy())]
    with pytest.raises(SourceError, match="1 training rows are left"):
        fitted(train.iloc[:1], parts=1)


def test_only_useless_columns_are_refused(fruit: pd.DataFrame) -> None:
    with pytest.raises(SourceError, match="every column is constant or an identifier"):
        fitted(fruit.assign(**dict.fromkeys(NUMERIC, 1.0)))


def test_variances_of_a_singular_correlation_are_not_negative() -> None:
    loadings, shares = principal_components(np.ones((3, 3)))
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(loadings[0], np.full(3, 3**-0.5))
