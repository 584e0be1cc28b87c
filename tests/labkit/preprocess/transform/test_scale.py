"""Scaling equals the reference on the training rows, and treats other rows alike."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from labkit.preprocess.statistics.moments import moments_of
from labkit.preprocess.transform.scale import fit_scale

REFERENCES = {"min_max": MinMaxScaler, "robust": RobustScaler, "standard": StandardScaler}
QUARTILES = (0.25, 0.5, 0.75)


@pytest.mark.parametrize("method", REFERENCES)
def test_training_rows_give_the_reference_s_values_and_test_rows_too(
    run, table, method: str
) -> None:
    result = run(scale=method)
    values = table.frame[["mass_g"]].to_numpy()
    reference = REFERENCES[method]().fit(values[table.train])
    if method == "standard":  # the reference divides by n
        reference.scale_ = values[table.train].std(axis=0, ddof=1)
    after = np.concatenate([part.load()["mass_g"] for part in result.parts])
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, reference.transform(values)[:, 0], rtol=1e-6, atol=1e-6)


def test_none_leaves_the_values_and_fills_gaps_with_the_mean(run, table) -> None:
    result = run(scale="none")
    size = table.frame["size_cm"].to_numpy()
    after = np.concatenate([part.load()["size_cm"] for part in result.parts])
    expected = np.where(np.isnan(size), np.nanmean(size[table.train]), size)
    np.testing.assert_allclose(after, expected, rtol=1e-6)
    assert result.details["missing"]["size_cm"] == np.isnan(size).sum()


def test_one_column_may_be_scaled_in_another_way(run) -> None:
    details = run(scale_columns={"mass_g": "robust"}).details
    assert details["scale"]["mass_g"]["method"] == "robust"
    assert details["scale"]["size_cm"]["method"] == "standard"


@pytest.mark.parametrize("method", ["standard", "min_max", "robust", "none"])
def test_a_constant_column_is_only_shifted_and_an_empty_one_is_0(method: str) -> None:
    constant = np.full(5, 4.0)
    scale = fit_scale(method, moments_of(constant), dict.fromkeys(QUARTILES, 4.0))
    assert scale.width == 1.0
    assert set(scale.apply(constant)) == {4.0 if method == "none" else 0.0}
    empty = np.full(3, np.nan)
    scale = fit_scale(method, moments_of(empty), dict.fromkeys(QUARTILES, np.nan))
    assert set(scale.apply(empty)) == {0.0}


def test_values_beyond_the_training_rows_are_counted_and_stay_finite() -> None:
    scale = fit_scale("standard", moments_of(np.array([1.0, 2.0])), {})
    new = np.array([0.5, 1.5, 1e300, np.nan])
    assert scale.count_beyond(new) == 2
    with np.errstate(over="raise"):
        assert np.isfinite(scale.apply(new).astype(np.float32)).all()
