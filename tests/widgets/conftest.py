"""A lab whose engine is fake: every wait in it is opened by the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.errors import RunStopped
from labkit.plan import Plan, plan_for
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record import RunRecord, Span, Step
from labkit.workload import Workload
from widgets import Lab

DEADLINE_S = 20.0


class FakeRun:
    """A run that is as far as the test says."""

    def __init__(self, workload: Workload, plan: Plan, steps: int) -> None:
        self._record = RunRecord(
            run="fake",
            workload=workload.to_dict(),
            plan=plan.to_dict(),
            strategy=plan.strategy,
            world_size=plan.world_size,
            planned_steps=steps,
            status="running",
        )
        self.stopped = False
        self.error: Exception | None = None
        self._ended = threading.Event()

    def advance(self, num_steps: int) -> None:
        """Let steps of 100 ms happen."""
        record = self._record
        for _ in range(num_steps):
            n = len(record.steps)
            record.steps.append(Step(n, 2 / (n + 1), 64, 0.1, (n + 1) / 10))
            record.spans += [
                Span(rank, 0, "forward", "forward", n / 10, 0.09, -1, 0, n)
                for rank in range(record.world_size)
            ]

    def finish(self) -> None:
        """Let the run end."""
        self._record.status = "stopped" if self.stopped else "done"
        self._record.attribution_s = {"compute": 3.0, "imbalance": 1.0}
        self._record.comm_bytes = {"measured": {"comm_dp": 2e6}, "formula": {"comm_dp": 2e6}}
        self._record.startup_s = {"cluster": 0.01, "ranks": 0.05, "first_step": 0.2}
        self._record.accuracy = {"samples": 10, "before": 0.1, "correct": 0.9}
        self._record.memory_bytes_per_rank = [100_000_000] * self._record.world_size
        self._ended.set()

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    def stop(self) -> None:
        self.stopped = True
        self.finish()

    def view(self) -> RunRecord:
        return self._record

    def wait(self, timeout_s: float) -> RunRecord:
        assert self._ended.wait(timeout_s), "the fake run was never ended"
        if self.error is not None:
            raise self.error
        return self._record


@dataclass
class FakeEngine:
    """Stands in for ``labkit``.

    Attributes:
        gate: launching, preprocessing and sweeping wait for it between two pieces of work.
        error: raised by the next call, once.
        calls: names of the functions that were called, with what they were given.
        on_run: called with each run that was started.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    runs: list[FakeRun] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)

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
            kind="cpu",
            num_cores=2,
            why="no GPU <here>, so CPU workers",
            dashboard_url="",
            close=lambda: self.closed.append(num_workers),
        )

    def preprocess(self, sources: None, **given: Any) -> Any:
        self._called("preprocess", **given)
        report = empty_report()
        for step in ("sources", "statistics", "integration"):
            given["on_progress"](step, 1, 2, report)
        while not self.gate.wait(0.01):
            if given["should_stop"]():
                raise RunStopped("preprocessing was stopped in step integration")
        return SimpleNamespace(name="fruit", to_json=lambda: {**report, "rows_out": 90})

    def train(self, workload: Workload, plan: Plan, cluster: Any, **given: Any) -> FakeRun:
        self._called("train", workload=workload, plan=plan, **given)
        run = FakeRun(workload, plan, given["steps"])
        self.runs.append(run)
        return run

    def sweep(self, workload: Workload, **given: Any) -> Curve:
        self._called("sweep", workload=workload, **given)
        curve = Curve(
            workload=workload.name,
            kind="measured",
            scaling=given["scaling"],
            num_cores=2,
            repeats=given["repeats"],
            planned_points=len(given["strategies"]) * len(given["devices"]),
        )
        for strategy in given["strategies"]:
            for devices in given["devices"]:
                curve.put(fake_point(strategy, devices))
                given["on_update"](curve)
                while not self.gate.wait(0.01):
                    if given["should_stop"]():
                        return curve
        return curve


def fake_point(strategy: str, devices: int) -> CurvePoint:
    """A point on the ideal line."""
    return CurvePoint(
        strategy=strategy,
        devices=devices,
        plan=plan_for(strategy, devices).to_dict(),
        throughput_samples_per_s=100.0 * devices,
        speedup=float(devices),
        speedup_low=devices - 0.1,
        speedup_high=devices + 0.1,
        kind="measured",
        runs=("a",),
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


@pytest.fixture
def engine() -> FakeEngine:
    """The fake engine, its gate open."""
    engine = FakeEngine()
    engine.gate.set()
    return engine


@pytest.fixture
def lab(engine: FakeEngine) -> Iterator[Lab]:
    """A lab over the fake engine; no thread of it is left afterwards."""
    lab = Lab(engine=engine)
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
