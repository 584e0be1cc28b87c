"""Pipeline parallelism: every rank holds a contiguous range of layers, a stage.

A batch is cut into microbatches that flow through the stages; ``torch.distributed.pipelining``
runs the schedule. GPipe runs all forwards first (Huang et al. 2019, arXiv:1811.06965); 1F1B
alternates, so a stage keeps fewer activations (Narayanan et al. 2021, arXiv:2104.04473).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import PipelineScheduleSingle

from labkit.plan import Plan
from labkit.train.loss import mean_loss
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import ParallelModel, Place
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes

SCHEDULES: Mapping[str, type[PipelineScheduleSingle]] = MappingProxyType(
    {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
)


def layers_of_stage(num_layers: int, num_stages: int, stage: int) -> range:
    """Indices of the layers that a stage holds: equal counts, the first stages one more."""
    share, extra = divmod(num_layers, num_stages)
    start = stage * share + min(stage, extra)
    return range(start, start + share + (stage < extra))


def take_layers(model: nn.Sequential, layers: range) -> nn.Sequential:
    """Some layers of a model under their global names."""
    part = nn.Sequential()
    for name, layer in list(model.named_children())[layers.start : layers.stop]:
        part.add_module(name, layer)
    return part


SHORTEST_WAIT_S = 50e-6  # handing over a send takes about half as long when nothing waits


class RecordedStage(PipelineStage):
    """A stage that records each microbatch's forward, backward and the waits between.

    A schedule asks for the operations that receive a microbatch, waits for them (and for sends
    that it batched with them), then runs the microbatch: the wait is what lies between. Time
    between computing and the next such request is spent on sends that have to finish first.
    """

    def __init__(
        self,
        module: nn.Module,
        place: Place,
        plan: Plan,
        shapes: Shapes,
        device: torch.device,
        group: dist.ProcessGroup | None,
        recorder: SpanRecorder,
    ) -> None:
        layers = layers_of_stage(len(shapes.inputs) - 1, plan.pp, place.stage)
        super().__init__(
            module,
            place.stage,
            plan.pp,
            device,
            # With the shapes known beforehand the first step need not run the model to find them.
            input_args=shapes.inputs[layers.start],
            output_args=shapes.inputs[layers.stop],
            group=group,
        )
        self.recorder = recorder
        self._receive: tuple[float, int] | None = None  # since when, how many bytes
        self._sent: tuple[float, str, int] | None = None  # since when, what, which microbatch

    def get_fwd_recv_ops(self, fwd_chunk_id: int) -> list[dist.P2POp]:
        return self._start_receive(super().get_fwd_recv_ops(fwd_chunk_id))

    def get_bwd_recv_ops(self, bwd_chunk_id: int) -> list[dist.P2POp]:
        return self._start_receive(super().get_bwd_recv_ops(bwd_chunk_id))

    def get_fwd_send_ops(self, fwd_chunk_id: int) -> list[dist.P2POp]:
        return self._send("send activation", fwd_chunk_id, super().get_fwd_send_ops(fwd_chunk_id))

    def get_bwd_send_ops(self, bwd_chunk_id: int) -> list[dist.P2POp]:
        return self._send("send gradient", bwd_chunk_id, super().get_bwd_send_ops(bwd_chunk_id))

    def forward_one_chunk(self, fwd_chunk_id: int, *args: Any, **kwargs: Any) -> Any:
        self._end_receive("receive activation", fwd_chunk_id)
        with self.recorder.span("forward", "forward", fwd_chunk_id):
            return super().forward_one_chunk(fwd_chunk_id, *args, **kwargs)

    def backward_one_chunk(self, bwd_chunk_id: int, *args: Any, **kwargs: Any) -> None:
        self._end_receive("receive gradient", bwd_chunk_id)
        with self.recorder.span("backward", "backward", bwd_chunk_id):
            super().backward_one_chunk(bwd_chunk_id, *args, **kwargs)

    def end_sends(self) -> None:
        """Record the wait, if any, for what was sent last; called where that wait has ended."""
        if self._sent is not None:
            since_s, name, microbatch = self._sent
            if self.recorder.now() - since_s > SHORTEST_WAIT_S:
                self.recorder.add("comm_pp", name, since_s, microbatch=microbatch)
            self._sent = None

    def _send(self, name: str, microbatch: int, operations: list[dist.P2POp]) -> list[dist.P2POp]:
        self.recorder.count_bytes("comm_pp", sum(num_bytes(o.tensor) for o in operations))
        self._sent = (self.recorder.now(), name, microbatch) if operations else None
        return operations

    def _start_receive(self, operations: list[dist.P2POp]) -> list[dist.P2POp]:
        self.end_sends()
        size = sum(num_bytes(operation.tensor) for operation in operations)
        self._receive = (self.recorder.now(), size) if operations else None
        return operations

    def _end_receive(self, name: str, microbatch: int) -> None:
        self.end_sends()
        if self._receive is not None:
            since_s, size = self._receive
            self.recorder.add("comm_pp", name, since_s, microbatch=microbatch, num_bytes=size)
            self._receive = None


class Pipeline:
    """One rank's stage with the schedule that drives it, a step at a time."""

    def __init__(
        self, stage: RecordedStage, plan: Plan, recorder: SpanRecorder, *, reports_loss: bool
    ) -> None:
        self.stage = stage
        self.recorder = recorder
        self.reports_loss = reports_loss
        self._loss_scale = 1 / (plan.dp * plan.num_microbatches)
        # The loss carries the scale, so the schedule must not scale the gradients again.
        self.schedule = SCHEDULES[plan.schedule](
            stage, plan.num_microbatches, loss_fn=self._loss, scale_grads=False
        )

    def _loss(self, output: Tensor, targets: Tensor) -> Tensor:
        self.stage.end_sends()
        with self.recorder.span("forward", "loss"):
            return mean_loss(output, targets) * self._loss_scale

    def forward_backward(self, inputs: Tensor | None, targets: Tensor | None) -> Tensor:
        """One step of this stage; the contract of ``ParallelModel.forward_backward``."""
        losses: list[Tensor] = []
        self.schedule.step(
            *((inputs,) if self.stage.is_first else ()),
            target=targets if self.stage.is_last else None,
            losses=losses if self.stage.is_last else None,
            return_outputs=False,
        )
        self.stage.end_sends()
        if losses and self.reports_loss:
            return torch.stack(losses).sum().detach()
        return torch.zeros((), device=self.stage.device)


def pipeline_bytes_per_step(plan: Plan, place: Place, shapes: Shapes) -> int:
    """Payload that a stage sends in one step, by formula.

    Per microbatch the activation at its end to the next stage, and the gradient of the one at its
    start to the stage before; a gradient is as large as its activation.

    Args:
        plan, place: degrees and this rank's stage.
        shapes: of one microbatch.
    """
    layers = layers_of_stage(len(shapes.inputs) - 1, plan.pp, place.stage)
    to_next = num_bytes(shapes.inputs[layers.stop]) if place.stage < plan.pp - 1 else 0
    to_previous = num_bytes(shapes.inputs[layers.start]) if place.stage > 0 else 0
    return plan.num_microbatches * (to_next + to_previous)


def apply_pipeline(
    *,
    model: nn.Sequential,
    plan: Plan,
    place: Place,
    example: Tensor,
    device: torch.device,
    recorder: SpanRecorder,
) -> ParallelModel:
    """This rank's stage of the model; see ``ApplyStrategy`` for the arguments."""
    shapes = trace_shapes(model, example)
    module = take_layers(model, layers_of_stage(len(model), plan.pp, place.stage)).to(device)
    stage = RecordedStage(module, place, plan, shapes, device, None, recorder)
    pipeline = Pipeline(stage, plan, recorder, reports_loss=True)
    return ParallelModel(
        module=module,
        place=place,
        forward_backward=pipeline.forward_backward,
        comm_bytes_per_step={"comm_pp": pipeline_bytes_per_step(plan, place, shapes)},
        needs_batch=stage.is_first or stage.is_last,
    )
