"""Which library carries the collectives of a cluster's ranks, where they compute, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labkit.cluster.devices import Devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the ranks of a cluster are started with.

    Attributes:
        name: backend of ``torch.distributed``.
        rank_device: the device of a rank as the rank sees it.
        why: one sentence, for people.
    """

    name: Literal["nccl", "gloo"]
    rank_device: Literal["cuda:0", "cpu"]
    why: str


ON_CORES = Backend(
    name="gloo", rank_device="cpu", why="gloo, because the ranks compute on processor cores"
)


def choose_backend(devices: Devices, num_workers: int) -> Backend:
    """NCCL where every rank has a real GPU of its own, else gloo.

    NCCL refuses two ranks on one GPU, and needs a driver that computes; gloo takes tensors on a
    GPU too, by way of the host's memory.

    Args:
        devices: that the workers were started on; GPUs, unless it says CPU.
        num_workers: one rank each.
    """
    if devices.kind == "cpu":
        return ON_CORES
    if devices.stand_in:
        why = "gloo on CPU tensors, because a stand-in driver has no GPU that computes"
        return Backend(name="gloo", rank_device="cpu", why=why)
    if num_workers > devices.count:
        gpus = f"{devices.count} GPU{'s' if devices.count != 1 else ''}"
        why = f"gloo, because {num_workers} ranks share {gpus} and NCCL needs one for each"
        return Backend(name="gloo", rank_device="cuda:0", why=why)
    return Backend(name="nccl", rank_device="cuda:0", why="NCCL: every rank has its own GPU")
