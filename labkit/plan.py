"""How the work is split: degrees of data, pipeline and tensor parallelism, and their settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from labkit.errors import PlanError
from labkit.plan_rules import misfits, problems
from labkit.workload import Workload

Strategy = Literal["data", "pipeline", "tensor", "hybrid"]
Schedule = Literal["gpipe", "1f1b", "interleaved1f1b", "zero_bubble"]
Sync = Literal["all_reduce", "ring", "average", "parameter_server", "async_parameter_server"]
Shard = Literal["none", "optimizer", "gradients", "parameters"]
Split = Literal["samples", "features"]
Compression = Literal["none", "fp16", "bf16", "powersgd"]
TensorStyle = Literal["plain", "dtensor"]
Placement = Literal["layers", "branches"]

STRATEGIES: tuple[str, ...] = get_args(Strategy)
DEFAULT_BUCKET_MB = 25.0  # of DistributedDataParallel
DEFAULT_SYNC_EVERY = 4  # steps between two averages of the parameters

_CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": get_args(Schedule),
    "sync": get_args(Sync),
    "shard": get_args(Shard),
    "split": get_args(Split),
    "compression": get_args(Compression),
    "tensor_style": get_args(TensorStyle),
    "placement": get_args(Placement),
}


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
            most ``pp`` microbatches in memory; interleaved 1F1B gives each rank several smaller
            stages (both Narayanan et al. 2021, arXiv:2104.04473); zero bubble computes the
            gradients of the weights later, where the rank would wait (Qi et al. 2024,
            arXiv:2401.10241).
        microbatches: pieces that a replica's batch is cut into; ``None`` chooses ``4 * pp``
            for a pipeline, else 1. Without a pipeline they are gradient accumulation.
        virtual_stages: stages on each rank, >= 2 with interleaved 1F1B (``None`` chooses 2),
            else 1.
        cuts: index of the first layer of every stage but the first; ``None`` balances the
            measured cost of the layers.
        sync: how replicas agree: ``all_reduce`` of gradients during the backward
            (DistributedDataParallel); the same as a ``ring`` of point-to-point messages by hand;
            ``average`` of parameters every few steps; a ``parameter_server`` on rank 0; an
            ``async_parameter_server`` that no worker waits at for the others.
        sync_every: steps from one average of the parameters to the next; ``None`` chooses 4
            with ``average``, else 1.
        max_staleness: steps by which a worker may be ahead of the slowest, >= 0; only for the
            asynchronous server (Ho et al. 2013, "More effective distributed ML via a stale
            synchronous parallel parameter server").
        bucket_mb: megabytes (2**20 bytes) of gradients that are all_reduced together; ``None``
            takes 25.
        compression: of the gradients that an all_reduce carries; approximate.
        shard: what replicas shard instead of copying: the optimiser's state (ZeRO-1), also the
            gradients, also the parameters (FSDP2; Rajbhandari et al. 2020, arXiv:1910.02054).
        split: what ``dp`` cuts: the samples of a batch, or the features (columns) of a sample.
        tensor_style: ``plain`` slices with collectives by hand, or everything by ``dtensor``.
        sequence_parallel: whether the parts between tensor regions are sharded over the tokens
            (Korthikanti et al. 2022, arXiv:2205.05198).
        placement: what ``pp`` places on ranks: ranges of ``layers``, or the parallel
            ``branches`` of a model that forks.
        checkpoint_activations: whether layers forget their activations and compute them again
            in the backward (Chen et al. 2016, arXiv:1604.06174).
    """

    dp: int = 1
    pp: int = 1
    tp: int = 1
    schedule: Schedule = "1f1b"
    microbatches: int | None = None
    virtual_stages: int | None = None
    cuts: tuple[int, ...] | None = None
    sync: Sync = "all_reduce"
    sync_every: int | None = None
    max_staleness: int = 2
    bucket_mb: float | None = None
    compression: Compression = "none"
    shard: Shard = "none"
    split: Split = "samples"
    tensor_style: TensorStyle = "plain"
    sequence_parallel: bool = False
    placement: Placement = "layers"
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        for name in ("dp", "pp", "tp"):
            degree = getattr(self, name)
            if type(degree) is not int or degree < 1:
                raise PlanError(f"{name}={degree!r} is not a degree; choose a whole number >= 1")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise PlanError(f"{name}={value!r} is not available; choose {' or '.join(choices)}")
        self._fill_in()
        for problem in problems(self):
            raise PlanError(problem)

    def _fill_in(self) -> None:
        """Replace every ``None`` that the plan itself can decide."""
        pipeline = self.pp > 1 and self.placement == "layers"
        chosen = {
            "microbatches": 4 * self.pp if pipeline else 1,
            "virtual_stages": 2 if self.schedule == "interleaved1f1b" and pipeline else 1,
            "sync_every": DEFAULT_SYNC_EVERY if self.sync == "average" else 1,
        }
        for name, value in chosen.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.cuts is not None:
            whole = isinstance(self.cuts, tuple | list) and all(type(c) is int for c in self.cuts)
            if not whole:
                raise PlanError(
                    f"cuts={self.cuts!r} are no layers; give the index of the first layer of every "
                    "stage but the first, such as (2, 4)"
                )
            object.__setattr__(self, "cuts", tuple(self.cuts))

    # -- what follows from it ------------------------------------------------------------------

    @property
    def num_microbatches(self) -> int:
        """Microbatches of one replica's step, always a number."""
        assert self.microbatches is not None
        return self.microbatches

    @property
    def num_virtual_stages(self) -> int:
        """Stages on each rank of a pipeline, always a number."""
        assert self.virtual_stages is not None
        return self.virtual_stages

    @property
    def num_stages(self) -> int:
        """Stages of the whole pipeline: ``pp * virtual_stages``; 1 without a pipeline."""
        is_pipeline = self.pp > 1 and self.placement == "layers"
        return self.pp * self.num_virtual_stages if is_pipeline else 1

    @property
    def num_replicas(self) -> int:
        """Parts that a batch of samples is cut into."""
        return self.dp if self.split == "samples" else 1

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
        for problem in misfits(self, workload):
            raise PlanError(problem)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the JSON contract."""
        values = asdict(self)
        values["cuts"] = None if self.cuts is None else list(self.cuts)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """The plan that ``to_dict`` described; unknown entries of later versions are left out.

        Raises:
            PlanError: a value that no plan can have.
        """
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
