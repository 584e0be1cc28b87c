"""Arithmetic given as data: computed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.errors import SettingError
from labkit.preprocess.clean.expressions import evaluate, names_in


def test_expressions_compute_as_numpy_does() -> None:
    a, b = np.array([1.0, 4.0, np.nan, 0.0]), np.array([2.0, 0.5, 1.0, 0.0])
    columns = {"a": a, "b": b}
    assert names_in("-(a + 2) * sqrt(b) - abs(a) ** 3") == ("a", "b")
    np.testing.assert_array_equal(
        evaluate("-(a + 2) * sqrt(b) - abs(a) ** 3", columns),
        -(a + 2) * np.sqrt(b) - np.abs(a) ** 3,
    )
    np.testing.assert_allclose(evaluate("exp(log(b))", columns)[:3], b[:3])
    assert np.isnan(evaluate("a / b", columns)[2:]).all()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a +", "expression 'a \\+' cannot be read"),
        ("1 + 2", "names no column"),
        ("a.b", "has 'a.b'; use column names, numbers"),
        ("__import__('os')", "has \"__import__\\('os'\\)\""),
        ("a if b else a", "has 'a if b else a'"),
        ("a > 3", "has 'a > 3'"),
        ("log(a, b)", "has 'log\\(a, b\\)'"),
        ("a + 'x'", "has \"'x'\""),
        ("a + True", "has 'True'"),
    ],
)
def test_anything_else_is_refused(expression: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        names_in(expression)
