"""Components are those of numpy and scikit-learn, to the last bits that a float holds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from labkit.errors import SettingError
from labkit.preprocess.reduce.components import (
    Components,
    angle_between,
    fit_components,
    principal_components,
)
from labkit.preprocess.reduce.covariance import Covariance, covariance_of, gram_of, grid_of

NAMES = [f"x{place}" for place in range(7)]


@pytest.fixture(scope="module")
def values() -> NDArray[np.float64]:
    """4,000 rows of seven measures that come from three hidden ones and a little noise."""
    random = np.random.default_rng(0)
    measures = random.normal(size=(4000, 3)) @ random.normal(size=(3, 7))
    noisy = measures + 0.05 * random.normal(size=measures.shape)
    return noisy * [1, 1000, 50, 50, 50, 2, 5] + 10


def covariance(values: NDArray[np.float64]) -> Covariance:
    grid = grid_of(values.min(axis=0), values.max(axis=0))
    return covariance_of(gram_of(values, grid), grid)


def test_they_are_scikit_learns(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES, number=3)
    standard = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    expected = PCA(n_components=3, svd_solver="full").fit(standard)
    signs = np.sign((np.array(found.loadings) * expected.components_).sum(axis=1))
    theirs = expected.components_ * signs[:, np.newaxis]
    np.testing.assert_allclose(found.loadings, theirs, atol=1e-10)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_, atol=1e-12)
    projected = found.project(pd.DataFrame(values, columns=NAMES))
    np.testing.assert_allclose(projected.T, expected.transform(standard) * signs, atol=1e-10)


def test_the_fewest_components_that_explain_enough_are_kept(values: NDArray[np.float64]) -> None:
    shares = np.array(fit_components(covariance(values), NAMES).all_explained)
    for explained in (0.3, 0.8, 0.999, 1.0):
        kept = len(fit_components(covariance(values), NAMES, explained=explained).loadings)
        assert shares[:kept].sum() >= explained - 1e-9
        assert kept == 1 or shares[: kept - 1].sum() < explained


def test_a_number_of_components_is_kept_whatever_it_explains(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES, explained=1.0, number=2)
    assert found.names == ["component_1", "component_2"]


def test_more_components_than_columns_are_refused(values: NDArray[np.float64]) -> None:
    with pytest.raises(SettingError, match=r"components = 8, but only 7 columns are left \(x0, "):
        fit_components(covariance(values), NAMES, number=8)


def test_the_sign_is_fixed_by_the_largest_loading(values: NDArray[np.float64]) -> None:
    loadings = np.array(fit_components(covariance(values), NAMES).loadings)
    largest = np.abs(loadings).argmax(axis=1)
    assert (loadings[np.arange(len(loadings)), largest] > 0).all()


def test_projected_rows_are_uncorrelated(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES, explained=1.0)
    projected = found.project(pd.DataFrame(values, columns=NAMES))
    np.testing.assert_allclose(
        np.cov(projected) / 7, np.diag(found.explained), rtol=1e-9, atol=1e-9
    )


def test_a_row_alone_has_the_bits_it_has_among_others(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES)
    frame = pd.DataFrame(np.tile(values, (3, 1)), columns=NAMES)  # more than one block of rows
    whole = found.project(frame)
    for row in (0, 17, 11_999):
        assert found.project(frame.iloc[[row]])[:, 0].tobytes() == whole[:, row].tobytes()


def test_a_gap_counts_as_the_mean(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES)
    gap = pd.DataFrame(values[:1], columns=NAMES)
    filled = gap.assign(x2=found.mean[2])
    gap.loc[0, "x2"] = np.nan
    np.testing.assert_array_equal(found.project(gap), found.project(filled))


def test_a_constant_column_says_nothing() -> None:
    values = np.stack([np.arange(50.0), np.full(50, 3.0)], axis=1)
    found = fit_components(covariance(values), ["x", "same"])
    assert found.explained == [1.0]
    assert found.loadings == [[1.0, 0.0]]
    assert np.isfinite(found.project(pd.DataFrame(values, columns=["x", "same"]))).all()


def test_variances_of_a_singular_correlation_are_not_negative() -> None:
    loadings, shares = principal_components(np.ones((3, 3)))
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(loadings[0], np.full(3, 3**-0.5))


def test_the_angle_between_spaces_is_found(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES, number=2)
    turned = fit_components(covariance(values), NAMES, number=2)
    cosine, sine = np.cos(np.radians(5)), np.sin(np.radians(5))
    third = np.array(fit_components(covariance(values), NAMES, number=3).loadings[2])
    first, second = np.array(turned.loadings)
    other = Components(
        **{**turned.to_dict(), "loadings": [(cosine * first + sine * third).tolist(), second]}
    )
    assert angle_between(found, found) == pytest.approx(0, abs=1e-12)
    assert angle_between(found, other) == pytest.approx(5)


def test_they_outlive_json(values: NDArray[np.float64]) -> None:
    found = fit_components(covariance(values), NAMES)
    assert Components.from_dict(json.loads(json.dumps(found.to_dict()))) == found
