"""NCCL only where every rank has a real GPU of its own, and the reason is said."""

from __future__ import annotations

import pytest

from labkit.cluster.backend import choose_backend
from labkit.cluster.devices import Devices


def gpus(count: int, *, stand_in: bool = False) -> Devices:
    return Devices(
        kind="gpu", names=("A",) * count, indices=tuple(map(str, range(count))), num_cores=8,
        why="found GPUs", stand_in=stand_in,
    )  # fmt: skip


CORES = Devices(kind="cpu", names=(), indices=(), num_cores=8, why="no GPU")


@pytest.mark.parametrize(
    ("devices", "num_workers", "name", "rank_device", "why"),
    [
        (gpus(4), 4, "nccl", "cuda:0", "NCCL: every rank has its own GPU"),
        (gpus(4), 1, "nccl", "cuda:0", "NCCL: every rank has its own GPU"),
        (gpus(2), 3, "gloo", "cuda:0", "because 3 ranks share 2 GPUs and NCCL needs one for each"),
        (gpus(1), 2, "gloo", "cuda:0", "because 2 ranks share 1 GPU and NCCL"),
        (gpus(4, stand_in=True), 4, "gloo", "cpu", "a stand-in driver has no GPU that computes"),
        (CORES, 4, "gloo", "cpu", "the ranks compute on processor cores"),
    ],
)
def test_the_backend_its_device_and_why(
    devices: Devices, num_workers: int, name: str, rank_device: str, why: str
) -> None:
    chosen = choose_backend(devices, num_workers)
    assert (chosen.name, chosen.rank_device) == (name, rank_device)
    assert why in chosen.why
