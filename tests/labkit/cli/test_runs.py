"""``labkit runs``: what was kept is shown, compared, exported, noted and deleted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labkit.cli.runs import runs_group
from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.curve_store import CurveStore
from labkit.runs.record import RunRecord, Span, Step
from labkit.runs.record_files import RECORD_FILE
from labkit.runs.store import RunStore
from labkit.workload import find_workload

ONE, TWO = "20260101-000000-aaa", "20260102-000000-bbb"
EMULATION = {
    "device": "demo", "time_scale": 20.0, "lateness": 0.12, "trustworthy": False,
    "advice": "choose a time scale above 20",
}  # fmt: skip

Labkit = Callable[..., subprocess.CompletedProcess[str]]
Ask = Callable[..., Result]


def make_run(run: str, plan: Plan, **more: Any) -> RunRecord:
    return RunRecord(
        run=run, workload=find_workload("fruit").to_dict(), plan=plan.to_dict(),
        strategy=plan.strategy, world_size=plan.world_size, planned_steps=2, status="done",
        steps=[Step(0, 0.7, 64, 0.2, 0.2), Step(1, 0.6, 64, 0.2, 0.4)], wall_s=0.5,
        attribution_s={"compute": 0.4, "startup": 0.1},
        spans=[Span(0, 0, "forward", "step", 0.0, 0.1, -1, 0, 0)], **more,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """Two runs in ``runs`` of the current folder."""
    monkeypatch.chdir(tmp_path)
    store = RunStore("runs")
    comm = {"measured": {"comm_dp": 1024}, "formula": {"comm_dp": 1024}}
    store.save(make_run(ONE, Plan()))
    store.save(make_run(TWO, Plan(dp=2), kind="emulated", emulation=EMULATION, comm_bytes=comm))
    return store


@pytest.fixture
def ask() -> Ask:
    """Runs ``labkit runs ...`` in this process."""

    def ask(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(
            runs_group, arguments, input=answer, catch_exceptions=False, standalone_mode=False
        )

    return ask


def make_curve(speedup: float, **more: Any) -> Curve:
    curve = Curve(
        workload="fruit", kind="measured", scaling="strong", num_cores=2, repeats=1,
        planned_points=1, **more,
    )  # fmt: skip
    curve.put(
        CurvePoint(
            strategy="data", devices=2, plan=Plan(dp=2).to_dict(), throughput_samples_per_s=9.0,
            speedup=speedup, speedup_low=speedup, speedup_high=speedup, kind=curve.kind,
            runs=(ONE,),
        )
    )  # fmt: skip
    return curve


def test_without_a_command_runs_are_listed(store: RunStore, ask: Ask) -> None:
    text = ask().stdout
    assert ask("list").stdout == text
    heading, newest, oldest = text.splitlines()
    assert heading.split() == [
        "run", "when", "kind", "workload", "strategy", "plan", "devices", "status", "samples/s",
        "loss", "note",
    ]  # fmt: skip
    assert newest.startswith(TWO)
    assert "emulated demo UNTRUSTWORTHY" in newest
    assert "dp 2" in newest
    assert oldest.startswith(ONE)
    assert "measured" in oldest


def test_the_list_as_json_tells_all(store: RunStore, ask: Ask) -> None:
    sweep = CurveStore("runs").save(make_curve(1.8))
    (store.folder / ONE / RECORD_FILE).write_text("{")
    listed = json.loads(ask("--json").stdout)
    assert [(run["run"], run["kind"]) for run in listed["runs"]] == [(TWO, "emulated"), (ONE, "")]
    assert listed["runs"][0]["final_loss"] == 0.6
    assert "no readable record" in listed["runs"][1]["damage"]
    assert [entry["sweep"] for entry in listed["sweeps"]] == [sweep]


def test_damage_is_told_and_never_fatal(store: RunStore, ask: Ask) -> None:
    (store.folder / ONE / RECORD_FILE).write_text("{")
    CurveStore("runs").save(make_curve(1.8))
    done = ask("list")
    assert "DAMAGED" in done.stdout
    assert "damaged: runs/20260101-000000-aaa holds no readable record" in done.stdout
    assert "best speedup" in done.stdout


def test_an_empty_folder_says_how_to_fill_it(ask: Ask, tmp_path: Path) -> None:
    done = ask("list", "--runs", str(tmp_path / "none"))
    assert "labkit train, sweep and demo keep theirs there" in done.stdout


def test_show_tells_one_run_in_full(store: RunStore, ask: Ask) -> None:
    store.note(TWO, "a busy machine")
    text = ask("show", "20260102").stdout
    assert "EMULATED on demo, time x 20, 12.0% late: UNTRUSTWORTHY, choose a time scale" in text
    assert text.endswith("note: a busy machine\n")
    shown = json.loads(ask("show", TWO, "--json").stdout)
    assert (shown["run"], shown["note"], shown["repeats"]) == (TWO, "a busy machine", "")
    assert shown["losses"] == [0.7, 0.6]


def test_a_diverged_loss_is_null_in_json(store: RunStore, ask: Ask) -> None:
    record = store.load(ONE)
    record.steps[1] = record.steps[1]._replace(loss=float("nan"))
    store.save(record)
    assert json.loads(ask("show", ONE, "--json").stdout)["losses"] == [0.7, None]


def test_compare_sets_runs_side_by_side(store: RunStore, ask: Ask) -> None:
    lines = ask("compare", ONE, TWO).stdout.splitlines()
    assert lines[0].split() == [ONE, TWO]
    figures = {line[:34].strip(): line[34:].split() for line in lines}
    assert figures["kind"] == ["measured", "emulated", "demo", "UNTRUSTWORTHY"]
    assert figures["comm_dp bytes, formula"] == ["-", "1,024"]
    assert figures["time in startup"] == ["20.0%", "20.0%"]
    assert (
        "! measured and emulated demo: times of different clocks are shown, not compared" in lines
    )
    compared = json.loads(ask("compare", ONE, TWO, "--json").stdout)
    assert [row["speedup"] for row in compared["rows"]] == [1.0, None]


def test_sweeps_are_shown_and_compared_too(store: RunStore, ask: Ask) -> None:
    first, second = (CurveStore("runs").save(make_curve(speedup)) for speedup in (1.5, 1.8))
    assert "speedup of fruit, strong scaling" in ask("show", first).stdout
    text = ask("compare", first, second).stdout
    assert [line.split()[7] for line in text.splitlines()] == ["speedup", "1.50", "1.80"]
    compared = json.loads(ask("compare", first, second, "--json").stdout)
    assert [sweep["sweep"] for sweep in compared["sweeps"]] == [first, second]
    with pytest.raises(SettingError, match=f"sweep 'sweep' is ambiguous: .*{first}"):
        ask("show", "sweep")
    assert ask("delete", second, "--yes").stdout == f"{second} is deleted\n"
    assert len(CurveStore("runs").list()) == 1


def test_export_writes_tables_or_a_trace(store: RunStore, ask: Ask, tmp_path: Path) -> None:
    assert ask("export", ONE, "--out", "out").stdout == "out/steps.csv\nout/spans.csv\n"
    assert (tmp_path / "out" / "steps.csv").read_text().startswith("step,loss,samples")
    done = json.loads(ask("export", ONE, "--format", "chrome", "--out", "out", "--json").stdout)
    assert done == {"run": ONE, "format": "chrome", "files": ["out/trace.json"]}
    assert json.loads((tmp_path / "out" / "trace.json").read_text())["traceEvents"]


def test_a_note_is_written_and_removed(store: RunStore, ask: Ask) -> None:
    assert ask("note", "20260101", "too few steps").stdout == f"{ONE}: too few steps\n"
    assert "too few steps" in ask("list").stdout
    assert json.loads(ask("note", ONE, "", "--json").stdout) == {"run": ONE, "note": ""}


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 2), ("\n", 2)])
def test_delete_asks_first(store: RunStore, ask: Ask, answer: str, left: int) -> None:
    done = ask("delete", ONE, answer=answer)
    assert f"delete {ONE} for good?" in done.stderr
    assert len(store.list()) == left


def test_delete_does_not_take_silence_for_yes(store: RunStore, ask: Ask) -> None:
    with pytest.raises(SettingError, match="nobody answered; give --yes"):
        ask("delete", ONE, answer="")
    assert ask("delete", ONE, "--yes", "--json").stdout == f'{{\n  "deleted": "{ONE}"\n}}\n'
    assert [entry.run for entry in store.list()] == [TWO]


def test_a_custom_model_cannot_be_repeated_from_the_command_line(store: RunStore, ask: Ask) -> None:
    record = store.load(ONE)
    record.workload["model"] = "build_mine"
    store.save(record)
    with pytest.raises(SettingError, match="trained the custom model 'build_mine'"):
        ask("repeat", ONE)


def test_the_command_itself_keeps_results_and_progress_apart(
    labkit: Labkit, store: RunStore, tmp_path: Path
) -> None:
    done = labkit("runs delete 2026010", cwd=tmp_path, answer="y\n")
    assert done.returncode == 2
    assert done.stderr == (f"Error: run '2026010' is ambiguous: {TWO}, {ONE}; give more of it\n")
    done = labkit("runs delete 20260101 --json", cwd=tmp_path, answer="y\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"deleted": ONE}
