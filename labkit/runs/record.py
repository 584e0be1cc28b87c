"""The record of one run: the same for measured, emulated and projected runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal["measured", "emulated", "projected"]
Status = Literal["starting", "running", "done", "stopped", "failed"]

COMPUTE_KINDS: tuple[str, ...] = ("forward", "backward", "weight_grad", "optimizer")
CHECKPOINT = "checkpoint"  # name of the span in which all ranks write one
UPDATE = "sgd"  # name of the optimiser's span that updates the weights
COMM_KINDS: tuple[str, ...] = ("comm_dp", "comm_tp", "comm_pp")


class Span(NamedTuple):
    """One stretch of one rank's time; times are seconds since the call of ``train``."""

    rank: int
    stage: int
    kind: str
    name: str
    start_s: float
    duration_s: float
    microbatch: int  # -1: not of one microbatch
    bytes: int  # payload handed to the collective, 0 for computing
    step: int


class Load(NamedTuple):
    """How busy the device of a rank was over the half second up to an instant."""

    rank: int
    at_s: float  # seconds since the call of train
    busy: float | None  # of a GPU 0 to 1; of a CPU in cores; None where the driver does not tell
    memory_bytes: int  # in use on the whole GPU; on a CPU of the rank's process


class Step(NamedTuple):
    """One optimiser step over the global batch."""

    step: int
    loss: float  # mean over the global batch, before the update
    samples: int
    seconds: float  # from the end of the step before, on the slowest rank
    end_s: float  # seconds since the call of train


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """What is known of a run; grows while it is live, complete when ``status`` is final.

    Attributes:
        run: identifier, unique on this machine.
        kind: measured (real ranks, real clock), emulated or projected; never mixed.
        status: starting, running, done, stopped or failed.
        workload, plan: as plain values; ``strategy`` names which degrees exceed 1.
        world_size: ranks.
        devices: one entry a rank: worker, host, device, backend and why that one.
        host, versions: where it ran.
        warmup_steps: first steps that throughput leaves out.
        planned_steps: steps that were asked for.
        steps: one entry a step, in order.
        spans: where each rank's time went (the newest ones only while live).
        load: how busy each rank's device was, twice a second, oldest first.
        startup_s: ``cluster`` (from the call of train until the ranks have their workers: data
            are prepared before, the first time, and the line is waited in), ``ranks`` (processes
            and process group after that), ``first_step`` (from the call of train to the end of
            the first step).
        comm_bytes: ``{"measured": {kind: bytes}, "formula": {kind: bytes}}``, payload summed
            over ranks and steps; kinds are comm_dp, comm_tp, comm_pp.
        memory_bytes_per_rank: peak of each rank's process, or of its GPU's allocator.
        memory_bytes: ``measured``, by how much each rank grew while it trained, beside
            ``formula``: parameters, gradients, optimizer and activations of each rank.
        attribution_s: mean seconds a rank spent in compute, exposed_communication, bubble,
            imbalance, data_wait, startup and other; sums to ``wall_s``.
        wall_s: seconds from the call of train to the end of the last step; of an emulated run
            from the start of the first step.
        stages: layers of each stage of a pipeline, by index; empty without one.
        staleness: of each update that an asynchronous server applied: updates since the worker
            took its parameters.
        emulation: empty when measured, else ``device``, ``declared`` (its figures and their
            sources), ``time_scale`` (seconds on the wall for one of the device), ``lateness``
            (fraction by which the run was late), ``declared_step_s`` (a step, had no rank been
            late), ``trustworthy`` and ``advice``. All times of an emulated record are device
            seconds.
        ideal: ``step_time_s``, ``speedup`` and ``breakdown_s`` that the plan could reach on the
            declared device; empty where none is declared.
        dataset, num_samples: what it was trained on.
        repeats: the run that this one repeats, if any.
        resumed: ``folder`` and ``step`` of the checkpoint that it went on from; empty of one that
            began anew. Its steps are those since then.
        checkpoints: that it has written: ``step`` (steps done), ``seconds`` on the wall, and
            ``folder`` and ``bytes``, or the ``error`` because of which it went on without.
        accuracy: on held-out samples: ``samples``, ``correct`` (fraction), ``before`` (fraction
            with the initial weights).
        restarts: recoveries from failures. What was measured beside the steps is of the last
            attempt: spans, bytes, memory; its ``startup`` is all the time before its first step.
        recoveries: one entry a restart: ``attempt`` (from 1); ``cause``, ``rank`` and ``why`` of
            the failure; ``at_s``, when it was noticed; ``detection_s``, from the failure to that,
            as near as it is known; ``recovery_s``, from there to the first steps after it, ``None``
            until then; ``from_step``, the first that is done again; ``lost_steps``;
            ``world_size``; ``decided_by`` (``leader`` or ``client``), ``leader`` and ``term``.
        attacks: what the user did to the run while it was live, see ``labkit.runs.attack``:
            ``what``, ``target`` (a rank, or the name of a worker), ``at_s``, ``step`` (steps known
            to be done then), and of a slowdown ``factor`` and ``seconds``, of a real network
            ``bytes_per_s`` as well.
        leaders: of the ranks, in order: ``term``, ``rank``, ``attempt``, ``elected_at_s``,
            ``election_s`` (how long the winner had seen no leader), ``ended`` (why; empty while
            it leads).
        queue_position: while it waits for workers, its place in the line, 1 for the next one.
        error: the first failing rank's cause, empty unless failed.
    """

    run: str
    workload: dict[str, Any]
    plan: dict[str, Any]
    strategy: str
    world_size: int
    planned_steps: int
    kind: Kind = "measured"
    status: Status = "starting"
    devices: list[dict[str, Any]] = field(default_factory=list)
    host: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    warmup_steps: int = 0
    steps: list[Step] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    load: list[Load] = field(default_factory=list)
    startup_s: dict[str, float] = field(default_factory=dict)
    comm_bytes: dict[str, dict[str, int]] = field(
        default_factory=lambda: {"measured": {}, "formula": {}}
    )
    memory_bytes_per_rank: list[int] = field(default_factory=list)
    attribution_s: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    memory_bytes: dict[str, list[Any]] = field(default_factory=dict)
    stages: list[list[int]] = field(default_factory=list)
    staleness: list[int] = field(default_factory=list)
    emulation: dict[str, Any] = field(default_factory=dict)
    ideal: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    num_samples: int = 0
    repeats: str = ""
    resumed: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    recoveries: list[dict[str, Any]] = field(default_factory=list)
    attacks: list[dict[str, Any]] = field(default_factory=list)
    leaders: list[dict[str, Any]] = field(default_factory=list)
    queue_position: int = 0
    error: str = ""

    @property
    def losses(self) -> list[float]:
        """Loss of each step, in order."""
        return [step.loss for step in self.steps]

    @property
    def measured_steps(self) -> list[Step]:
        """Steps after the warm-up; all of them when the run ended within it."""
        return self.steps[self.warmup_steps :] or self.steps

    @property
    def step_time_s(self) -> float:
        """Mean seconds of a step after the warm-up; 0.0 before the first step."""
        steps = self.measured_steps
        return sum(s.seconds for s in steps) / len(steps) if steps else 0.0

    @property
    def throughput_samples_per_s(self) -> float:
        """Samples a second after the warm-up; 0.0 before the first step."""
        steps = self.measured_steps
        seconds = sum(s.seconds for s in steps)
        return sum(s.samples for s in steps) / seconds if seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The ``train`` object of the JSON contract, plus what a reader of it would ask next."""
        return {
            "run": self.run,
            "kind": self.kind,
            "status": self.status,
            "workload": self.workload["name"],
            "seed": self.workload.get("seed"),
            "strategy": self.strategy,
            "world_size": self.world_size,
            "plan": self.plan,
            "steps": len(self.steps),
            "losses": self.losses,
            "throughput_samples_per_s": self.throughput_samples_per_s,
            "step_time_s": self.step_time_s,
            "startup_s": self.startup_s,
            "comm_bytes": self.comm_bytes,
            "memory_bytes_per_rank": self.memory_bytes_per_rank,
            "memory_bytes": self.memory_bytes,
            "attribution_s": self.attribution_s,
            "wall_s": self.wall_s,
            "stages": self.stages,
            "staleness": self.staleness,
            "emulation": self.emulation,
            "ideal": self.ideal,
            "accuracy": self.accuracy,
            "resumed": self.resumed,
            "checkpoints": self.checkpoints,
            "restarts": self.restarts,
            "recoveries": self.recoveries,
            "attacks": self.attacks,
            "leaders": self.leaders,
            "error": self.error,
        }
