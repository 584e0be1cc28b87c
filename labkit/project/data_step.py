"""What one replica of data parallelism does in a step, before the replicas meet."""

from __future__ import annotations

from typing import NamedTuple

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.collectives import all_gather_s, all_reduce_s, reduce_scatter_s
from labkit.project.compute import (
    backward_s,
    forward_s,
    layers_of_rank,
    optimizer_s,
    recompute_s,
    updated_bytes,
)
from labkit.project.profile import ModelProfile
from labkit.workload import Workload


class Stretch(NamedTuple):
    """A span of one rank whose place in time is not final."""

    kind: str
    name: str
    start_s: float
    end_s: float
    microbatch: int = -1
    num_bytes: int = 0


class DataStep:
    """What a replica does in one step, put together piece by piece from 0.

    Attributes:
        now_s: where it has come to.
        compute_s: how much of that was computing.
        ready_s: when the last microbatch's gradients of each layer were there.
        stretches: what it did.
    """

    def __init__(
        self, plan: Plan, profile: ModelProfile, device: Device, workload: Workload
    ) -> None:
        self.plan = plan
        self.device = device
        self.workload = workload
        self.layers = layers_of_rank(profile, plan)
        self.num_samples = workload.global_batch // plan.num_replicas // plan.num_microbatches
        self.link = device.link(range(plan.dp))
        self.gradient_bytes = profile.num_parameter_bytes
        self.weight_bytes = updated_bytes(profile.num_parameter_bytes, workload)
        self.now_s = self.compute_s = 0.0
        self.ready_s = [0.0] * len(self.layers)
        self.stretches: list[Stretch] = []
        for microbatch in range(plan.num_microbatches):
            self._forward(microbatch)
            self._backward(microbatch)

    @property
    def update_s(self) -> float:
        """Seconds of an update of all weights."""
        return optimizer_s(self.weight_bytes, self.device)

    def communicate(self, name: str, seconds: float, num_bytes: float) -> None:
        """A collective that nothing overlaps."""
        end_s = self.now_s + seconds
        self.stretches.append(Stretch("comm_dp", name, self.now_s, end_s, num_bytes=int(num_bytes)))
        self.now_s = end_s

    def update(self, share: float = 1.0) -> None:
        """The optimiser's turn, on a share of the weights."""
        end_s = self.now_s + share * self.update_s
        self.stretches.append(Stretch("optimizer", "sgd", self.now_s, end_s))
        self.now_s = end_s

    def _compute(self, seconds: float) -> None:
        self.now_s += seconds
        self.compute_s += seconds

    def _forward(self, microbatch: int) -> None:
        plan, start_s = self.plan, self.now_s
        for number, layer in enumerate(self.layers):
            if plan.shard in ("gradients", "parameters"):
                self._gather(layer.num_parameter_bytes)
            self._compute(forward_s(layer, self.num_samples, self.device))
            if number == 0 and plan.split == "features":
                num_bytes = layer.output_bytes * self.num_samples
                seconds = all_reduce_s(num_bytes, plan.dp, self.link)
                self.communicate("output", seconds, num_bytes)
        self.stretches.append(Stretch("forward", "forward", start_s, self.now_s, microbatch))

    def _backward(self, microbatch: int) -> None:
        plan, start_s = self.plan, self.now_s
        for number, layer in reversed(list(enumerate(self.layers))):
            if plan.shard == "parameters":
                self._gather(layer.num_parameter_bytes)
            if plan.checkpoint_activations:
                self._compute(recompute_s(layer, self.num_samples, self.device))
            self._compute(backward_s(layer, self.num_samples, self.device))
            if plan.shard in ("gradients", "parameters") and layer.parameter_bytes:
                num_bytes = layer.num_parameter_bytes
                seconds = reduce_scatter_s(num_bytes, plan.dp, self.link)
                self.communicate("scatter gradients", seconds, num_bytes)
            self.ready_s[number] = self.now_s
        self.stretches.append(Stretch("backward", "backward", start_s, self.now_s, microbatch))

    def _gather(self, num_bytes: int) -> None:
        if num_bytes:
            seconds = all_gather_s(num_bytes, self.plan.dp, self.link)
            self.communicate("gather parameters", seconds, num_bytes / self.plan.dp)
