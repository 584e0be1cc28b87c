"""How busy CPU ranks are; GPUs are in tests/stand_in_driver and tests/gpu."""

from __future__ import annotations

import os
import time
from itertools import pairwise

from labkit.cluster.cluster import Cluster
from labkit.cluster.load import LOAD_S, LoadSampler
from labkit.cluster.rank_context import RankContext
from labkit.runs.record import Load


def sample(context: RankContext, seconds: float) -> list[Load]:
    """Compute for some processor seconds while the load is sampled; what was told."""
    told: list[Load] = []
    context.send = lambda event: told.append(Load(*event["load"]))
    with LoadSampler(context):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
    return told


def test_a_rank_that_computes_is_as_busy_as_it_computed(cluster4: Cluster) -> None:
    (told,) = cluster4.run_ranks(sample, 1, 2.2 * LOAD_S)
    assert len(told) >= 3, "one each half second, and one at the end"
    assert [load.rank for load in told] == [0] * len(told)
    times_s = [load.at_s for load in told]
    assert times_s == sorted(times_s)
    lengths_s = [b - a for a, b in pairwise(times_s)]
    computed_s = sum((load.busy or 0) * s for load, s in zip(told[1:], lengths_s, strict=True))
    # All of its processor time is in the samples; the first one began before the first stamp.
    assert 1.1 * LOAD_S < computed_s < 2.4 * LOAD_S
    assert all(load.memory_bytes > 10 * 2**20 for load in told)


def test_a_rank_keeps_to_the_cores_of_its_worker(own_cluster: Cluster) -> None:
    core = min(os.sched_getaffinity(0))

    def pin(core: int) -> None:
        os.sched_setaffinity(0, {core})

    def cores_of(context: RankContext) -> set[int]:
        return os.sched_getaffinity(0)

    free = os.sched_getaffinity(0)
    first = own_cluster.workers[0]["address"]
    own_cluster.call_workers(pin, core, workers=[first])
    assert sorted(map(sorted, own_cluster.run_ranks(cores_of, 2))) == sorted([sorted(free), [core]])
