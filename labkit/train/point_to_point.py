"""Messages from one rank to another, of tensors on a GPU too where gloo carries them.

gloo's collectives take tensors on a GPU, but its messages read and write the host's memory: a
tensor on a GPU would end the process with a segmentation fault. It goes by way of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Underway(Protocol):
    """A message that was started."""

    def wait(self) -> Any:
        """Until it is there, or may be written to again."""


@dataclass(frozen=True, slots=True)
class _Landing:
    """A message that arrives in the host's memory, for a tensor on a GPU."""

    work: dist.Work
    host: Tensor
    into: Tensor

    def wait(self) -> None:
        self.work.wait()
        self.into.copy_(self.host)


def isend(x: Tensor, peer: int, group: dist.ProcessGroup | None = None, tag: int = 0) -> Underway:
    """Start to send a tensor to a rank, by its global number; see ``torch.distributed.isend``."""
    return _started(dist.isend(x.cpu() if _by_the_host(x, group) else x, peer, group, tag))


def irecv(x: Tensor, peer: int, group: dist.ProcessGroup | None = None, tag: int = 0) -> Underway:
    """Start to receive into a tensor; it is there once ``wait`` has returned."""
    if not _by_the_host(x, group):
        return _started(dist.irecv(x, peer, group, tag))
    host = torch.empty(x.shape, dtype=x.dtype)
    return _Landing(_started(dist.irecv(host, peer, group, tag)), host, x)


def send(x: Tensor, peer: int, group: dist.ProcessGroup | None = None) -> None:
    """Send a tensor to a rank; it may be written to when this returns."""
    isend(x, peer, group).wait()


def recv(x: Tensor, peer: int, group: dist.ProcessGroup | None = None) -> None:
    """Wait for a tensor from a rank."""
    irecv(x, peer, group).wait()


def exchange(
    sent: Sequence[Tensor], to: int, got: Sequence[Tensor], sender: int,
    group: dist.ProcessGroup | None = None,
) -> None:  # fmt: skip
    """Send tensors to one rank while others arrive from one, and wait for all of them."""
    works: Sequence[Underway]
    if any(_by_the_host(x, group) for x in (*sent, *got)):
        works = [isend(x, to, group) for x in sent] + [irecv(x, sender, group) for x in got]
    else:  # NCCL would hang in a ring whose sends are not started together with the receives
        works = dist.batch_isend_irecv(
            [dist.P2POp(dist.isend, x, to, group) for x in sent]
            + [dist.P2POp(dist.irecv, x, sender, group) for x in got]
        )
    for work in works:
        work.wait()


def carried_by_nccl(group: dist.ProcessGroup | None = None) -> bool:
    """Whether a group's tensors on a GPU travel by NCCL."""
    return "nccl" in str(dist.get_backend(group))


def _by_the_host(x: Tensor, group: dist.ProcessGroup | None) -> bool:
    return x.is_cuda and not carried_by_nccl(group)


def _started(work: dist.Work | None) -> dist.Work:
    assert work is not None, "this rank is in the group"
    return work
