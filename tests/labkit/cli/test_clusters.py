"""What a command does with its cluster and its run: workers that are waited for, records kept."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labkit.cli.clusters import own_cluster, wait_and_keep
from labkit.cli.options import Where
from labkit.errors import RankFailed, RunStopped
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Step
from labkit.runs.run import Run
from labkit.runs.store import RunStore
from labkit.workload import find_workload

RECOVERY = {"attempt": 1, "cause": "died", "rank": 1, "why": "killed"}


def make_record(**more: Any) -> RunRecord:
    plan = Plan(dp=2)
    return RunRecord(
        run="20260101-000000-aaa", workload=find_workload("fruit").to_dict(), plan=plan.to_dict(),
        strategy=plan.strategy, world_size=2, planned_steps=9, **more,
    )  # fmt: skip


class EndedRun:
    """A run that has ended: with an error, or well."""

    done = True

    def __init__(self, record: RunRecord, error: Exception | None = None) -> None:
        self.record, self.error = record, error

    def view(self) -> RunRecord:
        return self.record

    def wait(self, timeout_s: float | None = None) -> RunRecord:
        if self.error is not None:
            raise self.error
        return self.record


def finish(run: EndedRun, store: RunStore, repeats: str = "") -> RunRecord:
    return wait_and_keep(cast(Run, run), store, repeats)


@pytest.mark.parametrize(
    "known", [{"steps": [Step(0, 0.5, 64, 0.1, 0.1)]}, {"recoveries": [RECOVERY], "restarts": 1}]
)
def test_a_run_that_fails_leaves_its_record(tmp_path: Path, known: dict[str, Any]) -> None:
    store = RunStore(tmp_path / "runs")
    record = make_record(status="failed", error="rank 1 raised ValueError", **known)
    with pytest.raises(RankFailed, match="rank 1 raised"):
        finish(EndedRun(record, RankFailed(record.error, rank=1)), store)
    kept = store.load(record.run)
    assert (kept.status, kept.error) == ("failed", record.error)
    assert (len(kept.steps), len(kept.recoveries)) == (len(record.steps), len(record.recoveries))


def test_a_run_that_fails_before_it_did_anything_leaves_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    for error in (RankFailed("rank 0 died", rank=0), RunStopped("it was stopped")):
        with pytest.raises(type(error)):
            finish(EndedRun(make_record(status="failed"), error), store)
    assert store.list() == ()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_answer_of_a_run_that_fails_is_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    record = make_record(status="failed", error="rank 1 died", steps=[Step(0, 0.5, 64, 0.1, 0.1)])
    run = cast(Run, EndedRun(record, RankFailed("rank 1 died", rank=1)))
    with pytest.raises(RankFailed):
        wait_and_keep(run, RunStore(tmp_path / "runs"), as_json=as_json)
    printed = capsys.readouterr().out
    if as_json:
        answer = json.loads(printed)
        assert (answer["status"], answer["error"]) == ("failed", "rank 1 died")
        assert answer["losses"] == [0.5]
    else:
        assert printed == ""


def test_a_failure_is_told_also_where_its_record_cannot_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file")
    record = make_record(steps=[Step(0, 0.5, 64, 0.1, 0.1)])
    with pytest.raises(RankFailed, match="rank 1 died"):
        finish(EndedRun(record, RankFailed("rank 1 died", rank=1)), RunStore(tmp_path / "runs"))
    assert capsys.readouterr().err.startswith("no record: ")


def test_a_repetition_is_kept_with_what_it_repeats(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    record = finish(EndedRun(make_record(status="done")), store, repeats="earlier")
    assert store.load(record.run).repeats == "earlier"


@pytest.mark.parametrize(("queue_s", "expected"), [(0.0, []), (60.0, [8])])
def test_a_command_that_may_wait_expects_the_workers_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, queue_s: float, expected: list[int]
) -> None:
    told: list[int] = []
    cluster = SimpleNamespace(why="here", backend_why="gloo", expect_workers=told.append)

    @contextmanager
    def launch(num_workers: int | None, **where: Any) -> Any:
        assert (num_workers, where["address"]) == (None, "tcp://127.0.0.1:9")
        yield cluster

    monkeypatch.setattr("labkit.cluster.launch.launch", launch)
    with own_cluster(8, Where(address="tcp://127.0.0.1:9"), queue_s):
        assert told == expected
