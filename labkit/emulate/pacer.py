"""Real ranks at the speed of a declared device: compute and messages take the declared time.

Each rank carries a nominal clock, in seconds of the device. Computing does the real work, advances
the nominal clock by the declared time and sleeps until the wall has caught up. A message carries
its nominal arrival; a collective begins when the last of its ranks has entered. So an operation
that starts a little late on a busy machine ends on time, and lateness does not add up; only a rank
whose real work takes longer than the declared time falls behind, and the run says by how much.

Source: the pacing of virtual time by wall time is that of real-time simulation, Fujimoto 2000,
"Parallel and distributed simulation systems", chapter 1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from labkit.emulate.device import Device, Link
from labkit.plan import Plan
from labkit.project import collectives, compute
from labkit.project.links import LinkClock
from labkit.project.profile import ModelProfile

CollectiveName = Literal["all_reduce", "all_gather", "reduce_scatter", "broadcast"]

_FORMULAS: dict[str, Callable[[int, int, Link], float]] = {
    "all_reduce": collectives.all_reduce_s,
    "all_gather": collectives.all_gather_s,
    "reduce_scatter": collectives.reduce_scatter_s,
    "broadcast": collectives.broadcast_s,
}


class RealTime:
    """The pace of a measured run: everything takes what it takes, and nothing is added.

    Attributes:
        now: the clock of the record, seconds.
        is_emulated: whether times are those of a declared device.
        time_scale: seconds on the wall for one of the record's.
    """

    is_emulated = False
    time_scale = 1.0

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now

    @property
    def nominal_s(self) -> float:
        """The time up to which this rank has declared its work."""
        return self.now()

    def start(self) -> None:
        """Begin; the ranks have just met. A collective of all ranks when emulated."""

    def spend(self, seconds: float) -> None:
        """The declared time of a piece of computing that was just done."""

    def wait_until(self, nominal_s: float) -> None:
        """Wait for something that arrives, or becomes free, at a declared time."""

    def leave_out(self, wall_s: float) -> None:
        """Real time that went into what the declared device does not do, on all ranks at once.

        A collective of all ranks when emulated; measured time is never left out.
        """

    def latest(self, times_s: Sequence[float], group: dist.ProcessGroup | None) -> list[float]:
        """The greatest of each time over a group's ranks. A collective when emulated."""
        return list(times_s)

    def collective(
        self, name: CollectiveName, num_bytes: int, group: dist.ProcessGroup | None
    ) -> None:
        """The declared time of a blocking collective that was just done.

        Args:
            name: which one.
            num_bytes: of the whole tensor that all ranks have, or put together.
            group: its ranks; ``None`` is all of them.
        """

    def collective_s(
        self, name: CollectiveName, num_bytes: int, group: dist.ProcessGroup | None
    ) -> float:
        """How long a collective takes on the declared links; 0.0 when measured."""
        return 0.0

    def arrival_s(self, num_bytes: int, receiver: int) -> float:
        """When a message that is handed over now arrives at another rank (global number)."""
        return 0.0

    def layers_s(self, kind: str, layers: Iterable[int], num_samples: int) -> float:
        """Declared time of a pipeline operation (F, B, I or W) on a stage's layers."""
        return 0.0

    def optimizer_s(self, num_bytes: int) -> float:
        """Declared time of an update of that many bytes of weights."""
        return 0.0

    def watch_layers(self, module: nn.Module) -> None:
        """Pace the forward and backward of each child of a module, layer by layer."""


class Pacer(RealTime):
    """The pace of one rank of an emulated run.

    Args:
        device: the declared one.
        profile: what each layer computes.
        plan: says what a rank holds of each layer.
        rank: of this process.
        time_scale: seconds on the wall for a second of the device, > 0.
        wall_now: the rank's wall clock, comparable between the ranks of one host.
        stop_flag: once set, nothing is slept any more and the clock jumps to where it would have
            come to, so that the step under way ends soon and keeps its declared time.
        link_factor: how many times fewer bytes a second than declared the links carry now.
    """

    is_emulated = True

    def __init__(
        self,
        device: Device,
        profile: ModelProfile,
        plan: Plan,
        *,
        rank: int,
        time_scale: float,
        wall_now: Callable[[], float],
        stop_flag: threading.Event,
        link_factor: Callable[[], float] = lambda: 1.0,
    ) -> None:
        super().__init__(lambda: wall_now() / time_scale + self._skipped_s)
        self.device = device
        self.plan = plan
        self.rank = rank
        self.time_scale = time_scale
        self.layers = compute.layers_of_rank(profile, plan)
        self._stop_flag = stop_flag
        self._link_factor = link_factor
        self._skipped_s = 0.0
        self._nominal_s = 0.0
        self._links: dict[int, LinkClock] = {}

    @property
    def nominal_s(self) -> float:
        return self._nominal_s

    def start(self) -> None:
        self._nominal_s = self.latest([self.now()], None)[0]

    def spend(self, seconds: float) -> None:
        self._nominal_s += seconds
        self._catch_up()

    def wait_until(self, nominal_s: float) -> None:
        self._nominal_s = max(self._nominal_s, nominal_s)
        self._catch_up()

    def leave_out(self, wall_s: float) -> None:
        # The same on all ranks, whose clocks have to stay comparable.
        self._skipped_s -= self.latest([wall_s], None)[0] / self.time_scale

    def _catch_up(self) -> None:
        """Sleep until the wall has reached the nominal clock; a rank that is late does not."""
        ahead_s = (self._nominal_s - self.now()) * self.time_scale
        if ahead_s > 0 and self._stop_flag.wait(ahead_s):
            self._skipped_s += max(0.0, self._nominal_s - self.now())

    def latest(self, times_s: Sequence[float], group: dist.ProcessGroup | None) -> list[float]:
        if not dist.is_initialized() or dist.get_world_size(group) == 1 or not times_s:
            return list(times_s)
        times = torch.tensor(times_s, dtype=torch.float64)
        dist.all_reduce(times, op=dist.ReduceOp.MAX, group=group)
        greatest: list[float] = times.tolist()
        return greatest

    def collective(
        self, name: CollectiveName, num_bytes: int, group: dist.ProcessGroup | None
    ) -> None:
        entered_s = self.latest([self._nominal_s], group)[0]
        self.wait_until(entered_s + self.collective_s(name, num_bytes, group))

    def collective_s(
        self, name: CollectiveName, num_bytes: int, group: dist.ProcessGroup | None
    ) -> float:
        if not dist.is_initialized():
            return 0.0
        ranks = dist.get_process_group_ranks(group)
        slowed = round(num_bytes * self._link_factor())
        return _FORMULAS[name](slowed, len(ranks), self.device.link(ranks))

    def arrival_s(self, num_bytes: int, receiver: int) -> float:
        if receiver not in self._links:
            self._links[receiver] = LinkClock(self.device.link([self.rank, receiver]))
        slowed = round(num_bytes * self._link_factor())
        return self._links[receiver].send(self._nominal_s, slowed)

    def layers_s(self, kind: str, layers: Iterable[int], num_samples: int) -> float:
        return sum(self._layer_s(kind, layer, num_samples) for layer in layers)

    def _layer_s(self, kind: str, layer: int, num_samples: int) -> float:
        what = (self.layers[layer], num_samples, self.device, self.plan.tp)
        if kind == "F":
            return compute.forward_s(*what)
        seconds = 0.0
        if kind == "B" and self.plan.checkpoint_activations:
            seconds += compute.recompute_s(*what)
        if kind in ("B", "I"):
            seconds += compute.input_grad_s(*what)
        if kind in ("B", "W"):
            seconds += compute.weight_grad_s(*what)
        return seconds

    def optimizer_s(self, num_bytes: int) -> float:
        return compute.optimizer_s(num_bytes, self.device)

    def watch_layers(self, module: nn.Module) -> None:
        for name, layer in module.named_children():
            layer.register_forward_hook(_Watch(self, int(name)))


class _Watch:
    """Forward hook of one layer: spends its forward now, its backward before the gradients."""

    def __init__(self, pacer: Pacer, layer: int) -> None:
        self.pacer = pacer
        self.layer = layer

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        num_samples = output.shape[0]
        self.pacer.spend(self.pacer.layers_s("F", [self.layer], num_samples))
        if not output.requires_grad:
            return output
        paced: Tensor = _SpendBackward.apply(output, self.pacer, self.layer, num_samples)  # type: ignore[no-untyped-call]
        return paced


class _SpendBackward(torch.autograd.Function):
    """Forward nothing; backward the declared time of the layer before its real backward.

    So the layer's gradients, and the bucket that they complete, are there when they would be on
    the device; the real work falls into the time of the next layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, pacer: Pacer, layer: int, num_samples: int) -> Tensor:
        ctx.what = (pacer, layer, num_samples)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        pacer, layer, num_samples = ctx.what
        pacer.spend(pacer.layers_s("B", [layer], num_samples))
        return grads[0], None, None, None
