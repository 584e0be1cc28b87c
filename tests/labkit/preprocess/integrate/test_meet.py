"""Rows meet by likeness, then by key, and the result does not show how sources were cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.integrate.match import block_key
from labkit.preprocess.integrate.meet import meet_by_likeness
from labkit.preprocess.integrate.resolve import resolve
from labkit.preprocess.integrate.settings import Compare, IntegrationSettings, MatchSettings
from labkit.preprocess.integrate.shuffle import Ingested, bucket_parts, order_by_bucket
from labkit.preprocess.parts import map_parts, parts_of, write_arrow
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema, add_counts
from labkit.preprocess.tasks import InThisProcess

CITIES = ("Faro", "Fresno", "Daxing", "Turpan", "Beihai")
SCHEMA = Schema(
    columns=(
        Column(name="id"),
        Column(name="lot", kind="text"),
        Column(name="city", kind="category", names=CITIES),
        Column(name="weight_g"),
    ),
    key=("id",),
)
MATCH = MatchSettings(block=("city", "weight_g"), compare={"lot": Compare()}, threshold=0.8)
SETTINGS = IntegrationSettings(match=MATCH)
THINGS = 6000


def two_sources() -> pd.DataFrame:
    """The first names things by number, and some twice with another city; the second does not."""
    rng = np.random.default_rng(1)
    id = np.arange(1, THINGS + 1)
    truth = pd.DataFrame(
        {
            "id": id.astype(float),
            "lot": [f"lot {number * 7919 % 99991:05d}" for number in id],
            "city": rng.integers(0, len(CITIES), THINGS).astype("int32"),
            "weight_g": rng.integers(100, 140, THINGS).astype(float),
        }
    )
    twice = truth.sample(800, random_state=2)
    twice["city"] = (twice["city"] + 1) % len(CITIES)
    first = pd.concat([truth, twice]).sample(frac=1, random_state=3)
    second = truth.sample(2000, random_state=4).assign(id=np.nan)
    rows = pd.concat([first.assign(**{SOURCE: 0}), second.assign(**{SOURCE: 1})])
    rows[KEY] = rows["id"].fillna(0).astype("int64")
    rows["lot"] = rows["lot"].astype(object)
    names = [KEY, SOURCE, *(column.name for column in SCHEMA.columns)]
    return rows[names].astype({SOURCE: "int8", "city": "int32"}).reset_index(drop=True)


def integrated(folder: Path, rows: pd.DataFrame, cuts: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows as the step makes them of sources in so many parts."""
    (folder / "work").mkdir(parents=True)
    ingested = []
    for part in parts_of(rows, cuts):
        frame = part.load()
        order, offsets = order_by_bucket(block_key(frame, SCHEMA, SETTINGS))
        path = folder / "work" / f"read-{part.number}.arrow"
        write_arrow(frame.iloc[order], path, SCHEMA, offsets)
        ingested.append(Ingested(str(path), offsets))
    here = InThisProcess()
    matched = meet_by_likeness(here, ingested, SCHEMA, SETTINGS, str(folder))
    assert len(matched) > 1
    done = map_parts(
        here,
        resolve,
        bucket_parts(matched),
        schema=SCHEMA,
        settings=SETTINGS,
        sources=("first", "second"),
    )
    frame = pd.concat([each.frame for each in done], ignore_index=True)
    return frame, add_counts([each.counts for each in done])


def test_one_part_and_many_give_the_same_things(tmp_path: Path) -> None:
    rows = two_sources()
    whole, counts = integrated(tmp_path / "1", rows, 1)
    assert counts["rows"] == len(rows)
    assert counts["duplicates"] == 800
    assert counts["merged"] > 1900  # nearly all of the second source found its thing
    assert len(whole) < THINGS + 100
    for cuts in (2, 7):
        frame, again = integrated(tmp_path / str(cuts), rows, cuts)
        pd.testing.assert_frame_equal(frame, whole, check_exact=True)
        assert again == counts
