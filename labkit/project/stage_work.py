"""What an action of a pipeline consists of: computing, and collectives of the tensor group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from labkit.emulate.device import Device, Link
from labkit.plan import Plan
from labkit.project.collectives import all_gather_s, all_reduce_s, reduce_scatter_s
from labkit.project.compute import forward_s, input_grad_s, weight_grad_s
from labkit.project.profile import LayerProfile


class Piece(NamedTuple):
    """A stretch of an action: computing, or one blocking collective of the tensor group."""

    name: str  # of the collective; empty for computing
    seconds: float
    num_bytes: int = 0


class StageWork:
    """The pieces of each action on one rank's layers, for one microbatch.

    Args:
        plan: says how layers are split and whether they compute their activations again.
        device: the declared one.
        num_samples: of a microbatch.
        link: the slowest that the rank's tensor group crosses.
    """

    def __init__(self, plan: Plan, device: Device, num_samples: int, link: Link) -> None:
        self.plan = plan
        self.device = device
        self.num_samples = num_samples
        self.link = link

    def pieces(self, kind: str, layers: Sequence[LayerProfile]) -> tuple[Piece, ...]:
        """What an action consists of.

        Args:
            kind: ``F``, ``B``, ``I`` or ``W``; see ``Action``.
            layers: of the stage, as the rank computes them (``layers_of_rank``).
        """
        if kind == "F":
            pieces = [piece for layer in layers for piece in self._forward(layer)]
        else:
            pieces = [p for layer in reversed(layers) for p in self._backward(kind, layer)]
        return tuple(piece for piece in pieces if self.plan.tp > 1 or not piece.name)

    def seconds(self, kind: str, layers: Sequence[LayerProfile]) -> float:
        """How long an action takes; see ``pieces``."""
        return sum(piece.seconds for piece in self.pieces(kind, layers))

    def _forward(self, layer: LayerProfile, num_regions: int | None = None) -> Iterator[Piece]:
        """Computing, then the collectives of the first regions, or of all."""
        yield Piece("", forward_s(layer, self.num_samples, self.device, self.plan.tp))
        for region_input, output in _regions(layer)[:num_regions]:
            if self.plan.sequence_parallel:
                yield self._gather("tokens", region_input)
                yield self._scatter("output", output)
            else:
                yield self._sum("output", output)

    def _backward(self, kind: str, layer: LayerProfile) -> Iterator[Piece]:
        plan, device, num_samples = self.plan, self.device, self.num_samples
        if kind == "B" and plan.checkpoint_activations and layer.has_backward:
            # Nothing behind the last region is kept, so its sum need not be made again.
            yield from self._forward(layer, max(0, len(_regions(layer)) - 1))
        seconds = 0.0
        if kind in ("B", "I"):
            seconds += input_grad_s(layer, num_samples, device, plan.tp)
        if kind in ("B", "W"):
            seconds += weight_grad_s(layer, num_samples, device, plan.tp)
        yield Piece("", seconds)
        for region_input, output in reversed(_regions(layer)) if kind != "W" else ():
            if plan.sequence_parallel:
                yield self._gather("output gradient", output)
                yield self._scatter("input gradient", region_input)
            elif region_input:
                yield self._sum("input gradient", region_input)

    def _sum(self, name: str, bytes_per_sample: int) -> Piece:
        size = bytes_per_sample * self.num_samples
        return Piece(name, all_reduce_s(size, self.plan.tp, self.link), size)

    def _gather(self, name: str, bytes_per_sample: int) -> Piece:
        size = bytes_per_sample * self.num_samples
        return Piece(name, all_gather_s(size, self.plan.tp, self.link), size // self.plan.tp)

    def _scatter(self, name: str, bytes_per_sample: int) -> Piece:
        size = bytes_per_sample * self.num_samples
        return Piece(name, reduce_scatter_s(size, self.plan.tp, self.link), size)


def _regions(layer: LayerProfile) -> list[tuple[int, int]]:
    """Bytes per sample of the input and output of each tensor region."""
    return list(zip(layer.region_input_bytes, layer.region_output_bytes, strict=True))
