"""A lab whose engine is fake: every wait in it is opened by the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.errors import RunStopped
from labkit.plan import Plan
from labkit.plan_for import plan_for
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.project.schedules import schedule_actions
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.parity import Parity
from labkit.runs.record import RunRecord, Span, Step
from labkit.workload import Workload
from widgets import Lab

DEADLINE_S = 20.0


class FakeRun:
    """A run that is as far as the test says."""

    def __init__(
        self,
        name: str,
        workload: Workload,
        plan: Plan,
        steps: int,
        emulate: str | None,
        max_restarts: int = 3,
    ) -> None:
        self.job = SimpleNamespace(workload=workload, plan=plan)
        self._record = RunRecord(
            run=name,
            workload=workload.to_dict(),
            plan=plan.to_dict(),
            strategy=plan.strategy,
            world_size=plan.world_size,
            planned_steps=steps,
            status="running",
            kind="measured" if emulate is None else "emulated",
            stages=[[stage] for stage in range(plan.num_stages)] if plan.pp > 1 else [],
        )
        if emulate is not None:
            self._record.emulation = {"device": emulate, "time_scale": 100.0, "lateness": None}
            self._record.ideal = {"step_time_s": 0.1, "speedup": 3.5, "breakdown_s": {}}
        self.plan = plan
        self.max_restarts = max_restarts
        self.stopped = self.closed = False
        self.error: Exception | None = None
        self._ended = threading.Event()

    def advance(self, num_steps: int) -> None:
        """Let steps of 100 ms happen."""
        record = self._record
        for _ in range(num_steps):
            n = len(record.steps)
            record.steps.append(Step(n, 2 / (n + 1), 64, 0.1, (n + 1) / 10))
            record.spans += _pipeline_step(self.plan, n) if self.plan.pp > 1 else _step(record, n)

    def finish(self, **found: Any) -> None:
        """Let the run end, with ``found`` in its record."""
        record = self._record
        record.status = "stopped" if self.stopped else "done"
        record.attribution_s = {"compute": 3.0, "imbalance": 1.0}
        record.comm_bytes = {"measured": {"comm_dp": 2_000_000}, "formula": {"comm_dp": 2_000_000}}
        record.startup_s = {"cluster": 0.01, "ranks": 0.05, "first_step": 0.2}
        record.accuracy = {"samples": 10, "before": 0.1, "correct": 0.9}
        record.memory_bytes_per_rank = [100_000_000] * record.world_size
        parts = {"parameters": 1000, "gradients": 1000, "optimizer": 1000, "activations": 5000}
        record.memory_bytes = {
            "measured": [9000] * record.world_size,
            "formula": [parts] * record.world_size,
        }
        if record.emulation:
            record.emulation |= {"lateness": 0.01, "trustworthy": True, "advice": ""}
        for name, value in found.items():
            setattr(record, name, value)
        self._ended.set()

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    @property
    def run(self) -> str:
        return self._record.run

    @property
    def restarts_left(self) -> int:
        return self.max_restarts - self._record.restarts

    @property
    def clock_s(self) -> float:
        return len(self._record.steps) / 10

    def place(self, workers: list[dict[str, Any]]) -> None:
        """Let rank n have worker n, and rank 0 lead."""
        ranks = range(self._record.world_size)
        self._record.devices = [{"rank": n, **workers[n]} for n in ranks]
        self._record.leaders.append(
            {"term": 1, "rank": 0, "attempt": 0, "elected_at_s": 0.1, "election_s": 0.0,
             "ended": ""}
        )  # fmt: skip

    def stop(self) -> None:
        self.stopped = True
        self.finish()

    def close(self) -> None:
        """Of a follower."""
        self.closed = True

    def view(self) -> RunRecord:
        return self._record

    def wait(self, timeout_s: float) -> RunRecord:
        assert self._ended.wait(timeout_s), "the fake run was never ended"
        if self.error is not None:
            raise self.error
        return self._record


def _step(record: RunRecord, n: int) -> list[Span]:
    return [
        Span(rank, 0, "forward", "forward", n / 10, 0.09, -1, 0, n)
        for rank in range(record.world_size)
    ]


def _pipeline_step(plan: Plan, n: int) -> list[Span]:
    """Every action of the schedule in turn, 1 ms each: long bubbles, but a whole step."""
    kinds = {"F": "forward", "B": "backward", "I": "backward", "W": "weight_grad"}
    per_rank = schedule_actions(
        plan.schedule, plan.pp, plan.num_microbatches, plan.num_virtual_stages
    )
    return [
        Span(
            replica * plan.pp + rank, a.stage, kinds[a.kind], kinds[a.kind],
            n / 10 + (at + 2 * rank) / 1000, 0.001, a.microbatch, 0, n,
        )
        for replica in range(plan.dp)
        for rank, actions in enumerate(per_rank)
        for at, a in enumerate(actions)
    ]  # fmt: skip


def _shards() -> list[dict[str, Any]]:
    file = {"path": "train-00000.npy", "bytes": 8, "sha256": "0" * 64}
    return [{"split": "train", "number": 0, "rows": 90, "inputs": [file], "targets": file}]


@dataclass
class FakeEngine:
    """Stands in for ``labkit``.

    Attributes:
        gate: launching, preprocessing and sweeping wait for it between two pieces of work.
        error: raised by the next call, once.
        calls: names of the functions that were called, with what they were given.
        data: names of the datasets that are prepared.
        runs: that were started.
        lateness: of the points of an emulated sweep.
        shards: of the datasets that are made.
        others: what is found on a cluster's scheduler.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    data: set[str] = field(default_factory=set)
    runs: list[FakeRun] = field(default_factory=list)
    lateness: float = 0.01
    shards: list[dict[str, Any]] = field(default_factory=_shards)
    closed: list[int] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    others: list[Any] = field(default_factory=list)

    def _called(self, name: str, **given: Any) -> None:
        self.calls.append((name, given))
        self.started.set()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def launch(self, num_workers: int) -> Any:
        self._called("launch", num_workers=num_workers)
        assert self.gate.wait(DEADLINE_S)
        workers = [
            {"name": n, "device": "CPU", "host": "here", "pid": 100 + n, "address": f"w{n}"}
            for n in range(num_workers)
        ]
        return SimpleNamespace(
            workers=workers,
            num_workers=num_workers,
            most_workers=num_workers,
            kind="cpu",
            num_cores=2,
            num_shared_cores=2,
            why="no GPU <here>, so CPU workers",
            backend_why="gloo, because the ranks compute on processor cores",
            dashboard_url="",
            shares_files=True,
            close=lambda: self.closed.append(num_workers),
        )

    def preprocess(self, sources: list[str] | None, **given: Any) -> Any:
        self._called("preprocess", sources=sources, **given)
        report = empty_report()
        for step in ("sources", "statistics", "integration"):
            given["on_progress"](step, 1, 2, report)
        while not self.gate.wait(0.01):
            if given["should_stop"]():
                raise RunStopped("preprocessing was stopped in step integration")
        return SimpleNamespace(
            name=given["spec"] or "mine",
            folder="datasets/made",
            manifest={"name": "made", "shards": self.shards},
            to_json=lambda: {**report, "rows_out": 90},
        )

    def train(self, workload: Workload, plan: Plan, cluster: Any, **given: Any) -> FakeRun:
        self._called("train", workload=workload, plan=plan, **given)
        name = f"fake-{len(self.runs)}"
        run = FakeRun(name, workload, plan, given["steps"], given["emulate"], given["max_restarts"])
        self.runs.append(run)
        return run

    def has_data(self, workload: Workload, cluster: Any) -> bool:
        return workload.dataset in self.data

    def profile(self, workload: Workload, dataset: Any, cluster: Any, **given: Any) -> ModelProfile:
        self._called("profile", workload=workload, dataset=dataset)
        assert self.gate.wait(DEADLINE_S)
        return fake_profile(workload)

    def attack(self, run: FakeRun, what: str, *target: int | str) -> dict[str, Any]:
        self._called("attack", what=what, target=target)
        attack: dict[str, Any] = {"what": what, "target": target[0] if target else 0}
        attack |= {"at_s": run.clock_s, "step": 0}
        if what.startswith("slow"):
            attack |= {"factor": 4, "seconds": 8}
        run.view().attacks.append(attack)
        return attack

    def why_no_slow_link(self, run: FakeRun) -> str:
        return "" if run.view().kind == "emulated" else "its links are <real>"

    def check_parity(self, run: FakeRun, cluster: Any, **given: Any) -> Parity:
        self._called("check_parity", run=run, **given)
        return Parity(
            run="fake", single="single", steps=20, loss=3e-7, weights=1e-6, gradients=2e-6,
            limit=1e-5, why="equal in mathematics",
        )  # fmt: skip

    def runs_on(self, cluster: Any) -> list[Any]:
        return self.others

    def follow(self, cluster: Any, run: str) -> FakeRun:
        return next(each for each in self.runs if each.run == run)

    def sweep(self, workload: Workload, **given: Any) -> Curve:
        self._called("sweep", workload=workload, **given)
        emulate = given["emulate"]
        curve = Curve(
            workload=workload.name,
            kind="measured" if emulate is None else "emulated",
            device=emulate or "",
            time_scale=None if emulate is None else 100.0,
            scaling=given["scaling"],
            num_cores=2,
            repeats=given["repeats"],
            planned_points=len(given["strategies"]) * len(given["devices"]),
        )
        late = None if emulate is None else self.lateness
        for strategy in given["strategies"]:
            for devices in given["devices"]:
                given["on_record"](self._swept(workload, strategy, devices, given))
                curve.put(fake_point(strategy, devices, late))
                given["on_update"](curve)
                while not self.gate.wait(0.01):
                    if given["should_stop"]():
                        return curve
        return curve

    def _swept(
        self, workload: Workload, strategy: str, devices: int, given: dict[str, Any]
    ) -> RunRecord:
        plan, emulate = plan_for(strategy, devices), given["emulate"]
        run = FakeRun(f"swept-{strategy}-{devices}", workload, plan, given["steps"], emulate)
        run.advance(given["steps"])
        run.finish()
        return run.view()


def fake_profile(workload: Workload) -> ModelProfile:
    """Equal layers of 1 MFLOP a sample."""
    layer = LayerProfile(
        name="layer",
        forward_flops=1e6,
        parameter_bytes=(4000, 40),
        output_bytes=400,
        saved_bytes=400,
        measured_s=1e-6,
    )
    return ModelProfile(layers=(layer,) * workload.num_layers, input_bytes=20)


def fake_point(strategy: str, devices: int, lateness: float | None = None) -> CurvePoint:
    """A point on the ideal line."""
    emulated = lateness is not None
    return CurvePoint(
        strategy=strategy,
        devices=devices,
        plan=plan_for(strategy, devices).to_dict(),
        throughput_samples_per_s=100.0 * devices,
        speedup=float(devices),
        speedup_low=devices - 0.1,
        speedup_high=devices + 0.1,
        kind="emulated" if emulated else "measured",
        runs=("a",),
        ideal_speedup=devices + 0.2 if emulated else None,
        lateness=lateness,
    )


def empty_report() -> dict[str, Any]:
    """A report after its first two steps."""
    sources = {"orchard": 60, "market": 40}
    steps = [
        {
            "name": "statistics",
            "seconds": 0.1,
            "rows_in": 100,
            "rows_out": 100,
            "note": "100 rows from 2 sources",
            "picture": {"rows_per_source": sources, "missing": {"weight_g": 3}},
        },
        {
            "name": "integration",
            "seconds": 0.2,
            "rows_in": 100,
            "rows_out": 90,
            "note": "one row a fruit",
            "picture": {
                "rows_per_source": sources,
                "duplicates": 4,
                "merged": 5,
                "set_aside": 1,
                "rows_out": 90,
            },
        },
    ]
    figures = {"count": 97, "missing": 3, "min": 1.0, "max": 9.0, "mean": None}
    return {
        "rows_in": 100,
        "rows_out": 0,
        "set_aside": 1,
        "seconds": 0.3,
        "shards": 2,
        "steps": steps,
        "statistics": {"weight_g": figures},
    }


@pytest.fixture(autouse=True)
def pictures_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may compute beside these, and a picture is then drawn in more than 10 s."""
    monkeypatch.setattr("widgets.jobs.ANSWER_S", 6 * DEADLINE_S)


@pytest.fixture
def engine() -> FakeEngine:
    """The fake engine, its gate open."""
    engine = FakeEngine()
    engine.gate.set()
    return engine


@pytest.fixture
def lab(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab over the fake engine; no thread of it is left afterwards."""
    monkeypatch.setattr("widgets.panel.SETTLE_S", 0.0)  # there is no browser to wait for
    lab = Lab(engine=engine, runs=tmp_path / "runs")
    yield lab
    engine.gate.set()
    for run in engine.runs:
        run.finish()
    lab.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("lab-")]


@pytest.fixture
def launched(lab: Lab) -> Lab:
    """The lab with four workers."""
    lab.cluster_panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    return lab


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Wait until something is true, or fail at the deadline."""

    def wait(condition: Callable[[], object]) -> None:
        tick, deadline = threading.Event(), DEADLINE_S / 0.01
        while not condition():
            deadline -= 1
            assert deadline > 0, "it did not become true in time"
            tick.wait(0.01)

    return wait
