"""Pipeline parallelism: every rank holds ranges of layers, stages, that a batch flows through.

The batch is cut into microbatches, so that the stages work at the same time. What a rank computes
when is a list of actions (``labkit.project.schedules``), and a step of training runs it from top to
bottom: take what the neighbour stage has sent, compute, hand the result on. The simulator runs the
same list, so what is projected is what is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labkit.project.schedules import Action, schedule_actions
from labkit.train.batches import Batch
from labkit.train.strategies.messages import Message, Messages
from labkit.train.strategies.parallel_model import Given, ParallelModel
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes
from labkit.train.strategies.stage import Stage

POSTED_AHEAD = 2  # receives under way besides the one that is needed next

# Kind and name of the span of an action.
SPANS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "F": ("forward", "forward"),
        "B": ("backward", "backward"),
        "I": ("backward", "input gradient"),
        "W": ("weight_grad", "weight gradient"),
    }
)


class _Turn(NamedTuple):
    """An action with the messages before and after it."""

    action: Action
    takes: Message | None
    gives: Message | None


class _Microbatches(NamedTuple):
    """A batch in pieces, as far as the rank reads it."""

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    loss_scale: float

    @classmethod
    def of(cls, batch: Batch, count: int) -> _Microbatches:
        """A batch in that many pieces."""
        inputs = () if batch.inputs is None else batch.inputs.chunk(count)
        targets = () if batch.targets is None else batch.targets.chunk(count)
        return cls(inputs, targets, batch.loss_scale)


class Pipeline:
    """The stages of one rank, and the schedule that drives them, a step at a time.

    Args:
        model: whole, of which this rank's stages are used.
        given: plan and place choose the actions, recorder and pace take them.
        shapes: of one microbatch.
    """

    def __init__(self, model: nn.Sequential, given: Given, shapes: Shapes) -> None:
        plan = given.plan
        self.given = given
        self.stages = {
            number: Stage(take_layers(model, given.stages[number]), given.stages[number])
            for number in stages_of_rank(given)
        }
        self.last_stage = len(given.stages) - 1
        boundaries = {s: shapes.inputs[given.stages[s].stop] for s in range(self.last_stage)}
        self.messages = Messages(given, boundaries)
        self.has_grad = {s for s, activation in boundaries.items() if activation.requires_grad}
        of_rank = schedule_actions(
            plan.schedule, plan.pp, plan.num_microbatches, plan.num_virtual_stages
        )
        self.turns = [
            _turn(action, self.last_stage, self.has_grad) for action in of_rank[given.place.stage]
        ]
        self.expected = [turn.takes for turn in self.turns if turn.takes]

    @property
    def needs_batch(self) -> bool:
        """Whether this rank reads inputs or targets."""
        return 0 in self.stages or self.last_stage in self.stages

    def forward_backward(self, batch: Batch) -> Tensor:
        """One step of this rank's stages; the contract of ``ParallelModel.forward_backward``."""
        total = torch.zeros((), device=self.given.device, dtype=torch.float64)
        microbatches = _Microbatches.of(batch, self.given.plan.num_microbatches)
        to_post = iter(self.expected)
        self.messages.post(islice(to_post, POSTED_AHEAD))
        for action, takes, gives in self.turns:
            received = None
            if takes is not None:
                received = self.messages.receive(takes, islice(to_post, 1))
            result = self._compute(action, received, microbatches)
            if result is None:
                assert gives is None, "a neighbour would wait for ever"
            elif gives is None:
                total += result  # of the last stage: the loss
            else:
                self.messages.send(gives, result)
        # A tensor group computes the same loss on all its ranks: one of them reports it.
        return total if self.given.place.tensor_rank == 0 else torch.zeros_like(total)

    def _compute(
        self, action: Action, received: Tensor | None, microbatches: _Microbatches
    ) -> Tensor | None:
        """Do an action, in its declared time where a device is emulated; returns what it gives."""
        kind, number, m = action
        stage, pace = self.stages[number], self.given.pace
        result: Tensor | None = None
        with self.given.recorder.span(*SPANS[kind], m, stage=number):
            if kind == "F":
                x = microbatches.inputs[m] if received is None else received
                x.requires_grad_(number - 1 in self.has_grad)
                targets = microbatches.targets[m] if number == self.last_stage else None
                result = stage.forward(m, x, targets, microbatches.loss_scale)
            elif kind == "B":
                result = stage.backward(m, received)
            elif kind == "I":
                result = stage.backward_input(m, received)
            else:
                stage.backward_weight(m)
            pace.spend(pace.layers_s(kind, stage.layers, self.given.example.shape[0]))
        return result


def _turn(action: Action, last_stage: int, has_grad: set[int]) -> _Turn:
    """Which messages an action waits for and sends.

    Args:
        action: what is computed.
        last_stage: number of the stage that computes the loss.
        has_grad: stages whose activation has a gradient.
    """
    kind, stage, microbatch = action
    takes = gives = None
    if kind == "F":
        takes = Message("activation", stage, microbatch) if stage > 0 else None
        gives = Message("activation", stage + 1, microbatch) if stage < last_stage else None
    elif kind in ("B", "I"):
        takes = Message("gradient", stage, microbatch) if stage in has_grad else None
        gives = Message("gradient", stage - 1, microbatch) if stage - 1 in has_grad else None
    return _Turn(action, takes, gives)


def stages_of_rank(given: Given) -> range:
    """The stages that this rank holds: every pp-th."""
    return range(given.place.stage, len(given.stages), given.plan.pp)


def layers_of_rank(given: Given) -> tuple[int, ...]:
    """Indices of the layers that this rank holds."""
    return tuple(layer for stage in stages_of_rank(given) for layer in given.stages[stage])


def take_layers(model: nn.Sequential, layers: Iterable[int]) -> nn.Sequential:
    """Some layers of a model, by index, under their names in the model."""
    named = list(model.named_children())
    part = nn.Sequential()
    for layer in layers:
        part.add_module(*named[layer])
    return part


def pipeline_bytes_per_step(given: Given, shapes: Shapes) -> int:
    """Payload that a rank's stages send in one step, by formula.

    Per microbatch the activation at a stage's end to the next stage, and the gradient of the one
    at its start, where it has one, to the stage before; a gradient is as large as its activation.

    Args:
        given: plan, stages and place.
        shapes: of one microbatch.
    """
    size = 0
    for number in stages_of_rank(given):
        start, stop = shapes.inputs[given.stages[number].start], given.stages[number].stop
        if number < len(given.stages) - 1:
            size += num_bytes(shapes.inputs[stop])
        if number > 0 and start.requires_grad:
            size += num_bytes(start)
    return given.plan.num_microbatches * size


def apply_pipeline(model: nn.Module, given: Given) -> ParallelModel:
    """This rank's stages of the model; see ``ApplyStrategy`` for the arguments."""
    assert isinstance(model, nn.Sequential), "the plan was not validated"
    shapes = trace_shapes(model, given.example)
    module = take_layers(model, layers_of_rank(given))
    pipeline = Pipeline(model, given, shapes)
    return ParallelModel(
        module=module,
        place=given.place,
        device=given.device,
        forward_backward=pipeline.forward_backward,
        comm_bytes_per_step={"comm_pp": pipeline_bytes_per_step(given, shapes)},
        needs_batch=pipeline.needs_batch,
    )
