"""Throughput, speedup and efficiency over device counts and strategies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from labkit.runs.record import Kind

Scaling = Literal["strong", "weak"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One strategy at one device count.

    ``speedup = throughput(N) / throughput(1)``, each repeat against the baseline of the same
    repeat; the point is the median, ``speedup_low`` and ``speedup_high`` the least and the
    greatest repeat. ``efficiency = speedup / devices``.

    ``ideal_speedup`` is what this plan could reach on the declared device, ``None`` where no
    device is declared; ``lateness`` the fraction by which an emulated run was late.
    """

    strategy: str
    devices: int
    plan: dict[str, Any]
    throughput_samples_per_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    kind: Kind
    runs: tuple[str, ...]
    ideal_speedup: float | None = None
    lateness: float | None = None

    @property
    def efficiency(self) -> float:
        """Speedup per device, 1.0 where nothing is lost."""
        return self.speedup / self.devices

    def to_json(self) -> dict[str, Any]:
        """The point of the ``sweep`` contract."""
        return {**asdict(self), "runs": list(self.runs), "efficiency": self.efficiency}


@dataclass(slots=True, kw_only=True)
class Curve:
    """Points of one sweep; grows while the sweep runs.

    Attributes:
        workload: name.
        kind: of all its points.
        scaling: strong keeps the global batch, weak the batch per device.
        num_cores: processor cores that the ranks shared; measured speedup cannot exceed it on
            CPU workers.
        baseline_throughputs: samples/s of the single-device run, one per repeat.
        baseline_runs: their run identifiers.
        points: in the order they were measured; a point is replaced as repeats come in.
        planned_points: points the sweep will have.
        device, time_scale: of an emulated sweep: the declared device, and seconds on the wall for
            one of its seconds.
        repeats: repeats that were asked for.
    """

    workload: str
    kind: Kind
    scaling: Scaling
    num_cores: int | None
    repeats: int
    planned_points: int
    device: str = ""
    time_scale: float | None = None
    baseline_throughputs: list[float] = field(default_factory=list)
    baseline_runs: list[str] = field(default_factory=list)
    points: list[CurvePoint] = field(default_factory=list)

    def put(self, point: CurvePoint) -> None:
        """Add a point, or replace the one of the same strategy and device count."""
        key = (point.strategy, point.devices)
        self.points = [p for p in self.points if (p.strategy, p.devices) != key] + [point]

    @property
    def strategies(self) -> list[str]:
        """Strategies in the order of their first point."""
        return list(dict.fromkeys(point.strategy for point in self.points))

    def of(self, strategy: str) -> list[CurvePoint]:
        """Points of one strategy, by device count."""
        return sorted((p for p in self.points if p.strategy == strategy), key=lambda p: p.devices)

    def to_json(self) -> dict[str, Any]:
        """The ``sweep`` object of the JSON contract."""
        return {
            "workload": self.workload,
            "kind": self.kind,
            "scaling": self.scaling,
            "baseline": {
                "devices": 1,
                "throughput_samples_per_s": median(self.baseline_throughputs)
                if self.baseline_throughputs
                else None,
                "throughputs_samples_per_s": self.baseline_throughputs,
                "runs": self.baseline_runs,
            },
            "device": self.device,
            "time_scale": self.time_scale,
            "num_cores": self.num_cores,
            "repeats": self.repeats,
            "curves": [
                {"strategy": s, "points": [p.to_json() for p in self.of(s)]}
                for s in self.strategies
            ],
        }
