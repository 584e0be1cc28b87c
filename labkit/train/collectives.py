"""The collectives of a run, each recorded with its time and bytes, and paced when emulated.

Bytes are the payload that this rank hands over: of an all_reduce its whole tensor, of an
all_gather its own part, of a reduce_scatter the whole tensor, of a message its tensor. The span of
a rank that receives a message shows its size, but only the sender counts it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from labkit.emulate.pacer import RealTime
from labkit.train import point_to_point
from labkit.train.spans import SpanRecorder


class Collectives:
    """The ranks of one axis of the mesh, and what they can do together.

    Args:
        group: the ranks; ``None`` is all of them.
        kind: of the spans: ``comm_dp``, ``comm_tp`` or ``comm_pp``.
        recorder: takes spans and bytes.
        pace: of this rank.
    """

    def __init__(
        self, group: dist.ProcessGroup | None, kind: str, recorder: SpanRecorder, pace: RealTime
    ) -> None:
        self.group = group
        self.kind = kind
        self.recorder = recorder
        self.pace = pace

    @property
    def size(self) -> int:
        """Ranks in the group."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """Place of this rank in the group."""
        return dist.get_rank(self.group)

    def all_reduce(self, x: Tensor, name: str) -> None:
        """Sum a tensor over the group, in place."""
        start_s = self.recorder.now()
        dist.all_reduce(x, group=self.group)
        self.pace.collective("all_reduce", x.nbytes, self.group)
        self._note(name, start_s, x.nbytes)

    def all_gather(self, whole: Tensor, part: Tensor, name: str) -> None:
        """Put the parts of all ranks together, one after the other along dimension 0."""
        start_s = self.recorder.now()
        dist.all_gather_into_tensor(whole, part, group=self.group)
        self.pace.collective("all_gather", whole.nbytes, self.group)
        self._note(name, start_s, part.nbytes)

    def reduce_scatter(self, part: Tensor, whole: Tensor, name: str) -> None:
        """Sum a tensor over the group; each rank keeps its part along dimension 0."""
        start_s = self.recorder.now()
        dist.reduce_scatter_tensor(part, whole, group=self.group)
        self.pace.collective("reduce_scatter", whole.nbytes, self.group)
        self._note(name, start_s, whole.nbytes)

    def send(self, x: Tensor, receiver: int, name: str) -> Callable[[], None]:
        """Start to send a tensor to a rank of the group.

        Returns:
            What waits until the tensor may be written to again.
        """
        start_s = self.recorder.now()
        peer = self._global(receiver)
        works = [point_to_point.isend(x, peer, self.group)]
        if self.pace.is_emulated:
            stamp = _stamp(self.pace.arrival_s(x.nbytes, peer))
            works.append(point_to_point.isend(stamp, peer, self.group))
        self.recorder.count_bytes(self.kind, x.nbytes)

        def finish() -> None:
            for work in works:
                work.wait()
            self.recorder.add(self.kind, name, start_s, num_bytes=x.nbytes)

        return finish

    def receive(self, x: Tensor, sender: int, name: str) -> None:
        """Receive a tensor from a rank of the group into ``x``."""
        start_s = self.recorder.now()
        peer = self._global(sender)
        point_to_point.recv(x, peer, self.group)
        if self.pace.is_emulated:
            self.pace.wait_until(self._take_stamp(peer))
        self.recorder.add(self.kind, name, start_s, num_bytes=x.nbytes)

    def exchange(self, x: Tensor, receiver: int, into: Tensor, sender: int, name: str) -> None:
        """Send a tensor to one rank of the group while another one's arrives: a ring's round."""
        start_s = self.recorder.now()
        to, from_ = self._global(receiver), self._global(sender)
        sent, got = [x], [into]
        if self.pace.is_emulated:
            sent.append(_stamp(self.pace.arrival_s(x.nbytes, to)))
            got.append(_stamp(0.0))
        point_to_point.exchange(sent, to, got, from_, self.group)
        if self.pace.is_emulated:
            self.pace.wait_until(float(got[-1]))
        self._note(name, start_s, x.nbytes)

    def hand_over(self, x: Tensor, receiver: int, name: str) -> None:
        """Send a tensor and wait until it is there: a rank does so with one peer at a time."""
        start_s = self.recorder.now()
        peer = self._global(receiver)
        point_to_point.send(x, peer, self.group)
        if self.pace.is_emulated:
            dist.send(_stamp(self.pace.nominal_s), peer, group=self.group)
            self.pace.wait_until(self._take_stamp(peer))
        self._note(name, start_s, x.nbytes)

    def take_over(self, x: Tensor, sender: int, name: str) -> None:
        """Receive into ``x`` what a rank of the group hands over.

        When emulated it begins once both ranks are there, and keeps both until it has ended.
        """
        start_s = self.recorder.now()
        peer = self._global(sender)
        point_to_point.recv(x, peer, self.group)
        if self.pace.is_emulated:
            self.pace.wait_until(self._take_stamp(peer))
            end_s = self.pace.arrival_s(x.nbytes, peer)  # a link is as fast either way
            dist.send(_stamp(end_s), peer, group=self.group)
            self.pace.wait_until(end_s)
        self.recorder.add(self.kind, name, start_s, num_bytes=x.nbytes)

    def _take_stamp(self, peer: int) -> float:
        stamp = _stamp(0.0)
        dist.recv(stamp, peer, group=self.group)
        return float(stamp)

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    def _note(self, name: str, start_s: float, size: int) -> None:
        self.recorder.add(self.kind, name, start_s, num_bytes=size)
        self.recorder.count_bytes(self.kind, size)


def _stamp(time_s: float) -> Tensor:
    """A declared time that travels with a message."""
    return torch.tensor([time_s], dtype=torch.float64)
