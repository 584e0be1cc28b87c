"""Keys of rows that have none: a hash of what they hold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labkit.preprocess.integrate.keys import changes, content_keys
from labkit.preprocess.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="x"),
        Column(name="name", kind="text"),
        Column(name="city", kind="category", names=("Faro", "Fresno")),
    )
)
KNOWN = [-2301814098670259173, 6398726590803088420]


def rows(x: list[float], name: list[str | None], city: list[int]) -> pd.DataFrame:
    texts = pd.Series(name, dtype=object)
    return pd.DataFrame({"x": x, "name": texts, "city": np.array(city, dtype=np.int32)})


def test_equal_rows_have_equal_keys_and_others_do_not() -> None:
    frame = rows(
        [1.0, 1.0, 2.0, np.nan, 1.0, 1.0, 1.0],
        ["a", "a", "a", "a", None, "", "b"],
        [0, 0, 0, 0, 0, -1, 1],
    )
    keys = content_keys(frame, SCHEMA)
    assert keys.dtype == np.int64
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 6


def test_keys_are_the_same_in_every_session_and_however_texts_are_stored() -> None:
    frame = rows([1.5, np.nan], ["Ünïcode", None], [1, -1])
    keys = content_keys(frame, SCHEMA)
    assert keys.tolist() == KNOWN
    assert content_keys(frame.astype({"name": "str"}), SCHEMA).tolist() == KNOWN


def test_negative_zero_is_zero() -> None:
    keys = content_keys(rows([0.0, -0.0], ["a", "a"], [0, 0]), SCHEMA)
    assert keys[0] == keys[1]


def test_categories_count_by_name_and_not_by_code() -> None:
    city = Column(name="city", kind="category", names=("Fresno", "Faro"))
    turned = Schema(columns=(*SCHEMA.columns[:2], city))
    one = content_keys(rows([1.0], ["a"], [0]), SCHEMA)
    assert one == content_keys(rows([1.0], ["a"], [1]), turned)


def test_some_columns_alone_and_no_rows_at_all() -> None:
    frame = rows([1.0, 2.0], ["a", "a"], [0, 0])
    keys = content_keys(frame, SCHEMA, ("name", "city"))
    assert keys[0] == keys[1]
    assert content_keys(frame.iloc[:0], SCHEMA).shape == (0,)


def test_changes_start_runs() -> None:
    found = changes(np.array([1, 1, 2, 2]), np.array([5, 5, 5, 6]))
    assert found.tolist() == [True, False, True, True]
    assert changes(np.empty(0)).tolist() == []
