"""Plain values and arrays of all ranks, without a pickle on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.train.plain_gather import gather_arrays, gather_plain

SAID = ["\u00e4" * 100, {"layer.weight": 3}, None]


def tell(ctx: RankContext) -> list[Any]:
    return gather_plain(SAID[ctx.rank])


def bring(ctx: RankContext) -> list[dict[str, np.ndarray]]:
    """Rank 1 has arrays of several kinds, rank 2 none."""
    arrays = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3) + ctx.rank,
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }
    return gather_arrays(arrays if ctx.rank < 2 else {})


def test_every_rank_hears_what_all_say(cluster4: Cluster) -> None:
    assert cluster4.run_ranks(tell, 3, timeout_s=60.0) == [SAID] * 3


def test_rank_0_gets_the_arrays_of_all(cluster4: Cluster) -> None:
    found, *others = cluster4.run_ranks(bring, 3, timeout_s=60.0)
    assert others == [[], []]
    assert [list(arrays) for arrays in found] == [["matrix", "scalar", "empty"]] * 2 + [[]]
    assert found[1]["matrix"].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert found[1]["matrix"].dtype == np.float32
    assert (found[1]["scalar"].item(), found[1]["empty"].shape) == (2.5, (0, 4))


def test_a_single_rank_without_a_group_has_only_itself_to_ask() -> None:
    assert gather_plain((0, {"a": 1})) == [(0, {"a": 1})]
    assert gather_arrays({"a": np.ones(2)})[0]["a"].tolist() == [1.0, 1.0]
