"""How the work is split: degrees of data, pipeline and tensor parallelism, and their settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from labkit.errors import PlanError, SettingError
from labkit.workload import Workload

Strategy = Literal["data", "pipeline", "tensor", "hybrid"]
Schedule = Literal["gpipe", "1f1b"]
Sync = Literal["all_reduce"]
Shard = Literal["none"]

STRATEGIES: tuple[str, ...] = get_args(Strategy)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A split of one training step over ``dp * pp * tp`` ranks.

    Ranks are laid out row-major on the mesh ``(dp, pp, tp)``: the ranks of one tensor
    group are neighbours, then the stages of one pipeline, then the data replicas.

    Attributes:
        dp: data-parallel replicas, >= 1; each takes ``global_batch / dp`` samples a step.
        pp: pipeline stages, >= 1; each holds a contiguous range of the model's layers.
        tp: tensor-parallel ranks, >= 1; each holds a slice of every wide layer.
        schedule: order of forwards and backwards in the pipeline. GPipe runs all forwards
            first (Huang et al. 2019, arXiv:1811.06965); 1F1B alternates, so a stage keeps at
            most ``pp`` microbatches in memory (Narayanan et al. 2021, arXiv:2104.04473).
        microbatches: pieces that a replica's batch is cut into; ``None`` chooses ``4 * pp``
            for a pipeline, else 1. Without a pipeline they are gradient accumulation.
        sync: how replicas agree on gradients.
        shard: what replicas shard instead of copying.
    """

    dp: int = 1
    pp: int = 1
    tp: int = 1
    schedule: Schedule = "1f1b"
    microbatches: int | None = None
    sync: Sync = "all_reduce"
    shard: Shard = "none"

    def __post_init__(self) -> None:
        for name in ("dp", "pp", "tp"):
            degree = getattr(self, name)
            if not isinstance(degree, int) or degree < 1:
                raise PlanError(f"{name}={degree!r} is not a degree; choose a whole number >= 1")
        for name, choices in (
            ("schedule", get_args(Schedule)),
            ("sync", get_args(Sync)),
            ("shard", get_args(Shard)),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise PlanError(f"{name}={value!r} is not available; choose {' or '.join(choices)}")
        if self.microbatches is None:
            object.__setattr__(self, "microbatches", 4 * self.pp if self.pp > 1 else 1)
        if not isinstance(self.microbatches, int) or self.microbatches < 1:
            raise PlanError(
                f"microbatches={self.microbatches!r} is not a count; choose a whole number >= 1"
            )
        if self.schedule == "1f1b" and self.pp > 1 and self.num_microbatches < self.pp:
            raise PlanError(
                f"1f1b needs at least as many microbatches as stages, but microbatches="
                f"{self.microbatches} < pp({self.pp}); use {self.pp} or more, or schedule gpipe"
            )

    @property
    def num_microbatches(self) -> int:
        """Microbatches of one replica's step, always a number."""
        assert self.microbatches is not None
        return self.microbatches

    @property
    def world_size(self) -> int:
        """Ranks, and so devices, that the plan needs."""
        return self.dp * self.pp * self.tp

    @property
    def strategy(self) -> str:
        """``single``, ``data``, ``pipeline``, ``tensor`` or ``hybrid``: which degrees exceed 1."""
        split = [
            n for n, d in (("data", self.dp), ("pipeline", self.pp), ("tensor", self.tp)) if d > 1
        ]
        return "single" if not split else split[0] if len(split) == 1 else "hybrid"

    def validate(self, workload: Workload, num_devices: int | None = None) -> None:
        """Check the plan against a workload and the devices before anything starts.

        Args:
            workload: what will be trained.
            num_devices: devices of the cluster; ``None`` leaves them unchecked.
        Raises:
            PlanError: the first thing that does not fit, with the numbers and a way out.
        """
        if num_devices is not None and self.world_size > num_devices:
            raise PlanError(
                f"dp({self.dp}) * pp({self.pp}) * tp({self.tp}) = {self.world_size} but "
                f"{num_devices} devices are available; choose degrees whose product is at most "
                f"{num_devices}"
            )
        if self.pp > workload.num_layers:
            raise PlanError(
                f"pp({self.pp}) stages but workload {workload.name!r} has {workload.num_layers} "
                f"layers; choose pp at most {workload.num_layers}"
            )
        if workload.tensor_units % self.tp:
            raise PlanError(
                f"tp({self.tp}) does not divide the {workload.tensor_units} slices that the widest "
                f"layers of workload {workload.name!r} can be cut into; choose a divisor of "
                f"{workload.tensor_units}"
            )
        if workload.global_batch % self.dp:
            raise PlanError(
                f"dp({self.dp}) does not divide the global batch of {workload.global_batch}; "
                f"choose a divisor of {workload.global_batch} or another global batch"
            )
        replica_batch = workload.global_batch // self.dp
        if replica_batch % self.num_microbatches:
            raise PlanError(
                f"microbatches({self.microbatches}) does not divide the batch of {replica_batch} "
                f"that each of dp({self.dp}) replicas gets; choose a divisor of {replica_batch}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the JSON contract."""
        return asdict(self)


def plan_for(strategy: str, num_devices: int, *, schedule: Schedule = "1f1b") -> Plan:
    """The plan by which a strategy uses a number of devices.

    ``data``, ``pipeline`` and ``tensor`` put every device on their own axis. ``hybrid`` splits
    the model over the smallest group that divides the devices, and the data over the groups: 4
    devices are 2 replicas of 2 stages, 2 devices one replica of 2 stages.

    Args:
        strategy: one of ``STRATEGIES``.
        num_devices: devices to use, >= 1.
        schedule: schedule of a pipeline.
    Returns:
        The plan; at one device every strategy is the same single-device run.
    Raises:
        SettingError: an unknown strategy, or fewer than one device.
    """
    if strategy not in STRATEGIES:
        raise SettingError(f"strategy {strategy!r} is unknown; choose from {', '.join(STRATEGIES)}")
    if num_devices < 1:
        raise SettingError(f"devices={num_devices} is not a count; choose a number >= 1")
    if strategy == "data":
        return Plan(dp=num_devices, schedule=schedule)
    if strategy == "pipeline":
        return Plan(pp=num_devices, schedule=schedule)
    if strategy == "tensor":
        return Plan(tp=num_devices, schedule=schedule)
    smallest = next((n for n in range(2, num_devices + 1) if num_devices % n == 0), 1)
    return Plan(dp=num_devices // smallest, pp=smallest, schedule=schedule)
