"""Which worker gets which rank: replicas inside hosts."""

from __future__ import annotations

import pytest

from labkit.cluster.rank_placement import (
    host_of,
    largest_replica,
    local_ranks,
    place_ranks,
    split_replicas,
)

TWO_HOSTS = {"a": ["a0", "a1", "a2"], "b": ["b0", "b1"]}


def hosts_of(workers: list[str]) -> list[str]:
    return [worker[0] for worker in workers]


def test_ranks_that_fit_one_host_stay_there_and_the_larger_host_stays_whole() -> None:
    assert place_ranks(TWO_HOSTS, 2, 1, across_hosts=True) == ["b0", "b1"]
    assert place_ranks(TWO_HOSTS, 3, 1, across_hosts=True) == ["a0", "a1", "a2"]


def test_replicas_go_whole_to_hosts_the_fullest_first() -> None:
    assert place_ranks(TWO_HOSTS, 4, 2, across_hosts=True) == ["a0", "a1", "b0", "b1"]
    assert place_ranks(TWO_HOSTS, 5, 1, across_hosts=True) == ["a0", "a1", "a2", "b0", "b1"]
    three = {"a": ["a0", "a1"], "b": ["b0", "b1", "b2", "b3"], "c": ["c0", "c1"]}
    placed = place_ranks(three, 6, 2, across_hosts=True)
    assert hosts_of(placed) == ["b", "b", "b", "b", "a", "a"]
    assert split_replicas(hosts_of(placed), 2) == []


@pytest.mark.parametrize(
    ("num_ranks", "per_replica", "across_hosts"), [(4, 1, False), (6, 1, True), (6, 3, True)]
)
def test_there_is_no_place_where_hosts_are_too_small(
    num_ranks: int, per_replica: int, across_hosts: bool
) -> None:
    assert place_ranks(TWO_HOSTS, num_ranks, per_replica, across_hosts=across_hosts) == []


def test_a_replica_larger_than_every_host_is_cut_into_the_largest_equal_parts() -> None:
    pairs = {"a": ["a0", "a1"], "b": ["b0", "b1"]}
    assert largest_replica(pairs, 4, 2) == 2
    assert largest_replica(pairs, 4, 4) == 2
    assert largest_replica({"a": ["a0"], "b": ["b0"], "c": ["c0"], "d": ["d0"]}, 4, 4) == 1
    assert split_replicas(["a", "a", "b", "b"], 4) == [0]
    assert split_replicas(["a", "b", "a", "a"], 2) == [0]


def test_local_ranks_count_within_each_host() -> None:
    workers = ["tls://10.0.0.1:5", "tls://10.0.0.2:5", "tls://10.0.0.1:6", "tls://10.0.0.2:7"]
    assert [host_of(worker) for worker in workers[:2]] == ["10.0.0.1", "10.0.0.2"]
    assert local_ranks(workers) == [0, 0, 1, 1]
