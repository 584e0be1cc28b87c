"""Categories as numbers; those that training never saw are handled and counted."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.errors import SettingError
from labkit.preprocess.transform.encode import Encode, fit_encode


def write(encode: Encode, codes: list[int]) -> np.ndarray:
    inputs = np.empty((len(codes), len(encode.names_of("c"))), dtype=np.float32)
    encode.write(np.array(codes, dtype=np.int32), inputs)
    return inputs


def test_one_hot_has_a_column_for_each_name_that_training_saw() -> None:
    encode = fit_encode("c", "one_hot", ("a", "b", "c"), np.array([4, 0, 2]))
    assert encode.names_of("c") == ("c=a", "c=c")
    assert write(encode, [0, 2, -1]).tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(("output", "nothing"), [("one_hot", [0, 0]), ("code", [-1])])
def test_unseen_names_are_as_if_missing_and_counted(output: str, nothing: list[int]) -> None:
    encode = fit_encode("c", output, ("a", "b", "c"), np.array([4, 0, 2]))
    codes = [1, 99, -1]
    assert write(encode, codes).tolist() == [nothing] * 3
    assert encode.count_unseen(np.array(codes)) == 2


def test_too_many_names_are_refused_with_the_way_out() -> None:
    names = tuple(f"n{number}" for number in range(33))
    with pytest.raises(SettingError, match=r"'c' holds 33 names.*at most 32.*generalise it first"):
        fit_encode("c", "one_hot", names, np.ones(33, dtype=np.int64))
    assert fit_encode("c", "code", names, np.ones(33, dtype=np.int64)).names_of("c") == ("c",)
    few = np.zeros(33, dtype=np.int64)
    few[:32] = 1
    assert len(fit_encode("c", "one_hot", names, few).names_of("c")) == 32
