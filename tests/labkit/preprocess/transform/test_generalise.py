"""Concepts above values, from hierarchies that are data."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.errors import SettingError
from labkit.preprocess.transform.generalise import make_lift
from labkit.preprocess.transform.settings import Generalise

PLACES = [
    ["Faro", "Algarve", "Portugal"],
    ["Lagos", "Algarve", "Portugal"],
    ["Porto", "Norte", "Portugal"],
    ["Seville", "Andalusia", "Spain"],
]
CITY = {"hierarchy": PLACES, "levels": ["city", "province", "country"], "level": "country"}
SIZES = {
    "edges": [5, 10],
    "names": ["tiny", "small", "big"],
    "hierarchy": {"tiny": "berry", "small": "fruit", "big": "fruit"},
}


def test_cities_become_countries(run, table) -> None:
    result = run(generalise={"city": CITY})
    assert "city=Portugal" in result.fitted.names
    after = np.concatenate([part.load()["city=Portugal"] for part in result.parts])
    np.testing.assert_array_equal(after, table.frame["city"].isin([0, 1, 2]))
    assert result.details["generalised"]["city"]["unplaced"] == ["Nowhere"]
    assert result.picture["categories"]["city"]["Spain"] == (table.frame["city"] == 3).sum()


def test_7_4_cm_is_small_and_small_is_a_fruit(run, table) -> None:
    low = make_lift((), Generalise(**{**SIZES, "hierarchy": ()}))
    assert low.names[int(low.codes(np.array([7.4]))[0])] == "small"
    result = run(generalise={"size_cm": SIZES})
    assert list(result.fitted.names[:2]) == ["size_cm=berry", "size_cm=fruit"]
    after = np.concatenate([part.load()["size_cm=fruit"] for part in result.parts])
    np.testing.assert_array_equal(after, table.frame["size_cm"] >= 5)


def test_an_edge_belongs_above_and_a_gap_stays_a_gap() -> None:
    lift = make_lift((), Generalise(edges=(5, 10), names=("a", "b", "c")))
    assert lift.codes(np.array([4.9, 5.0, 10.0, np.nan])).tolist() == [0, 1, 2, -1]


def test_what_has_no_place_is_other_and_what_is_unknown_is_missing() -> None:
    lift = make_lift(("Faro", "Paris"), Generalise(hierarchy=PLACES, level=2))
    assert lift.names == ("Portugal", "other")
    assert lift.unplaced == ("Paris",)
    assert lift.codes(np.array([0, 1, -1, 7], dtype=np.int32)).tolist() == [0, 1, -1, -1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_cm": CITY}, "'size_cm' is a number: give edges and names of intervals"),
        ({"city": SIZES}, "'city' is a category: it takes no edges"),
        ({"colour": CITY}, r"names colour, but the inputs after reduction are size_cm, mass_g"),
    ],
)
def test_a_hierarchy_for_the_wrong_column_is_refused(run, settings: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        run(generalise=settings)
