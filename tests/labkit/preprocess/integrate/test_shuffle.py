"""After the shuffle all rows of a fruit are in one bucket, and none is lost."""

from __future__ import annotations

import pandas as pd

from labkit.preprocess.schema import Partition
from labkit.preprocess.shuffle import by_identifier, num_buckets
from labkit.preprocess.tasks import InThisProcess


def test_rows_of_one_fruit_meet_and_none_is_lost(read_partitions: list[Partition]) -> None:
    pieces = by_identifier(InThisProcess(), read_partitions, 4)
    buckets = [pd.concat(each) for each in pieces]
    assert sum(map(len, buckets)) == sum(len(p.frame) for p in read_partitions)
    ids = [set(bucket["fruit_id"]) for bucket in buckets]
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_buckets_follow_from_the_rows_alone() -> None:
    assert [num_buckets(rows) for rows in (0, 1, 4096, 4097, 20_000)] == [1, 1, 1, 2, 5]
    assert num_buckets(10**9) == 64
