"""Messages between the stages of a pipeline: activations onward, gradients back.

Nothing waits for a message to leave. A receive is posted before it is needed, so that the message
travels while the rank still computes; a buffer that was sent is kept until the answer to it shows
that it has arrived: to an activation its gradient, to a gradient the next step's activation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from labkit.plan import Plan
from labkit.train.point_to_point import Underway, carried_by_nccl, irecv, isend
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import num_bytes

POST = "post receives"  # name of the span


class Message(NamedTuple):
    """What a stage hands to a neighbour: an ``activation`` to the next, a ``gradient`` back."""

    kind: str
    stage: int  # that receives it
    microbatch: int

    @property
    def sender(self) -> int:
        """The stage that sends it."""
        return self.stage - 1 if self.kind == "activation" else self.stage + 1

    @property
    def answers(self) -> Message:
        """The message in the other direction that must have arrived before this one was sent."""
        kind = "gradient" if self.kind == "activation" else "activation"
        return Message(kind, self.sender, self.microbatch)


class _Posted(NamedTuple):
    """A receive that is under way."""

    tensor: Tensor
    stamp: Tensor | None  # takes the declared arrival of an emulated message
    works: list[Underway]


class Messages:
    """What one rank sends and receives.

    Args:
        given: plan and place say which rank holds a stage; recorder and pace take every message.
        boundaries: activation between stage s and s + 1 of one microbatch, without data, at s.
    """

    def __init__(self, given: Given, boundaries: Mapping[int, Tensor]) -> None:
        self.plan = given.plan
        self.place = given.place
        self.recorder = given.recorder
        self.pace = given.pace
        self.device = given.device
        self.boundaries = boundaries
        self._groups = message_groups()
        self._posted: dict[Message, _Posted] = {}
        self._sent: dict[Message, list[Underway]] = {}

    def post(self, messages: Iterable[Message]) -> None:
        """Start to receive the first messages of a step."""
        start_s = self.recorder.now()
        microbatches = [self._post(message) for message in messages]
        if microbatches:
            self.recorder.add("comm_pp", POST, start_s, microbatch=microbatches[0])

    def _post(self, message: Message) -> int:
        like = self.boundaries[min(message.stage, message.sender)]
        tensor = torch.empty(like.shape, dtype=like.dtype, device=self.device)
        stamp = torch.zeros(1, dtype=torch.float64) if self.pace.is_emulated else None
        works = [
            irecv(buffer, self._rank(message.sender), self._group(message), tag)
            for buffer, tag in zip((tensor, stamp), self._tags(message), strict=True)
            if buffer is not None
        ]
        self._posted[message] = _Posted(tensor, stamp, works)
        return message.microbatch

    def receive(self, message: Message, ahead: Iterable[Message] = ()) -> Tensor:
        """Wait for a message that was posted; it is recorded with the stage that waited.

        Args:
            message: which one.
            ahead: messages to start to receive before that.
        """
        start_s = self.recorder.now()
        for later in ahead:
            self._post(later)
        tensor, stamp, works = self._posted.pop(message)
        for work in works:
            work.wait()
        if stamp is not None:
            self.pace.wait_until(float(stamp))
        self._free(message.answers)
        self.recorder.add(
            "comm_pp",
            f"receive {message.kind}",
            start_s,
            microbatch=message.microbatch,
            num_bytes=num_bytes(tensor),
            stage=message.stage,
        )
        return tensor

    def send(self, message: Message, tensor: Tensor) -> None:
        """Hand a message over; the tensor must not be written to any more."""
        start_s = self.recorder.now()
        self._free(message)  # of the step before, where nothing answered it
        receiver = self._rank(message.stage)
        tensor = tensor.contiguous()
        buffers = [tensor]
        if self.pace.is_emulated:
            arrival_s = self.pace.arrival_s(num_bytes(tensor), receiver)
            buffers.append(torch.tensor([arrival_s], dtype=torch.float64))
        self._sent[message] = [
            isend(buffer, receiver, self._group(message), tag)
            for buffer, tag in zip(buffers, self._tags(message), strict=False)
        ]
        self.recorder.count_bytes("comm_pp", num_bytes(tensor))
        self.recorder.add(
            "comm_pp",
            f"send {message.kind}",
            start_s,
            microbatch=message.microbatch,
            stage=message.sender,
        )

    def _free(self, message: Message) -> None:
        """Let go of a buffer that has arrived."""
        for work in self._sent.pop(message, ()):
            work.wait()

    def _rank(self, stage: int) -> int:
        return rank_of_stage(stage, self.plan, self.place)

    def _group(self, message: Message) -> dist.ProcessGroup | None:
        is_up = message.sender % self.plan.pp < message.stage % self.plan.pp
        return self._groups[message.kind, is_up]

    def _tags(self, message: Message) -> tuple[int, int]:
        """Of a message and of its stamp; unique among the messages of a step."""
        place = message.stage * self.plan.num_microbatches + message.microbatch
        first = 4 * place + 2 * (message.kind == "gradient")
        return first, first + 1


def rank_of_stage(stage: int, plan: Plan, place: Place) -> int:
    """The rank that holds a stage of the same replica and slice."""
    return (place.replica * plan.pp + stage % plan.pp) * plan.tp + place.tensor_rank


def message_groups() -> dict[tuple[str, bool], dist.ProcessGroup | None]:
    """The process group of each kind of message, up or down the ranks. A collective of all ranks.

    gloo matches messages by their tags, so one group does. NCCL has no tags: between two ranks it
    matches by order, and a receive that waits holds up what comes behind it. Of one kind and
    direction, messages are sent in the order in which they are expected.
    """
    ways = [(kind, is_up) for kind in ("activation", "gradient") for is_up in (True, False)]
    if carried_by_nccl():
        return {way: dist.new_group() for way in ways}
    return dict.fromkeys(ways)
