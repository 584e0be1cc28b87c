"""Messages and collectives are timed on real ranks."""

from __future__ import annotations

from labkit.cluster.cluster import Cluster
from labkit.train.link_probe import time_all_reduce, time_message

SIZES = [64, 1 << 22]


def test_larger_messages_take_longer_and_every_rank_has_times(cluster4: Cluster) -> None:
    messages = cluster4.run_ranks(time_message, 3, SIZES, timeout_s=60)
    reduced = cluster4.run_ranks(time_all_reduce, 2, SIZES, timeout_s=60)
    for times_s in (messages[0], *reduced):
        assert list(times_s) == SIZES
        assert 0 < times_s[SIZES[0]] < times_s[SIZES[1]]
