"""``labkit train``, ``sweep`` and ``demo``: their contracts, and what they keep."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.runs.curve_store import CurveStore
from labkit.runs.store import RunStore

Labkit = Callable[..., subprocess.CompletedProcess[str]]


def test_train_prints_one_json_object_and_keeps_the_record(labkit: Labkit, tmp_path: Path) -> None:
    done = labkit("train --workload digits --dp 2 --steps 6 --global-batch 64 --json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["kind"] == "measured"
    assert record["status"] == "done"
    assert record["world_size"] == 2
    assert record["plan"]["dp"] == 2
    assert len(record["losses"]) == 6
    assert record["throughput_samples_per_s"] > 0
    assert set(record["startup_s"]) == {"cluster", "ranks", "first_step"}
    assert record["comm_bytes"]["measured"] == record["comm_bytes"]["formula"]
    assert len(record["memory_bytes_per_rank"]) == 2
    assert sum(record["attribution_s"].values()) == pytest.approx(record["wall_s"])
    assert record["restarts"] == 0
    assert RunStore(tmp_path / "runs").load(record["run"]).losses == record["losses"]


def test_a_kept_run_is_repeated_in_one_process(labkit: Labkit, tmp_path: Path) -> None:
    done = labkit(
        "train --workload digits --dp 2 --sync ring --clip-norm 1 --global-batch 64 --steps 4 "
        "--runs kept --json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    done = labkit(f"runs repeat {run[:-1]} --single --runs kept --json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    repeated = json.loads(done.stdout)
    assert (repeated["repeats"], repeated["single"], repeated["holds"]) == (run, True, True)
    assert len(repeated["relative"]) == 4
    assert repeated["record"]["world_size"] == 1
    assert RunStore(tmp_path / "kept").load(repeated["run"]).repeats == run


def test_an_emulated_run_says_so(labkit: Labkit, tmp_path: Path) -> None:
    done = labkit("train --workload fruit --dp 2 --steps 3 --emulate demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "EMULATED on demo, time x " in done.stdout
    (entry,) = RunStore(tmp_path / "runs").list()
    assert (entry.kind, entry.emulation["device"]) == ("emulated", "demo")


def test_sweep_gives_the_contracts_object_and_keeps_runs_and_curve(
    labkit: Labkit, tmp_path: Path
) -> None:
    done = labkit(
        "sweep --workload digits --strategies data,data+sync=ring --devices 1,2 --repeats 1 "
        "--steps 4 --out pictures --json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    curve = json.loads(done.stdout)
    assert (curve["workload"], curve["kind"], curve["scaling"]) == ("digits", "measured", "strong")
    assert [c["strategy"] for c in curve["curves"]] == ["data", "data+sync=ring"]
    for strategy in curve["curves"]:
        one, two = strategy["points"]
        assert one["devices"] == 1
        assert one["speedup"] == 1.0
        assert two["devices"] == 2
        assert two["efficiency"] == pytest.approx(two["speedup"] / 2)
        assert two["ideal_speedup"] is None
        assert two["lateness"] is None
    assert (tmp_path / "pictures" / "speedup.png").stat().st_size > 10_000
    kept = CurveStore(tmp_path / "runs").load(curve["sweep"])
    assert {run for point in kept.points for run in point.runs} == {
        entry.run for entry in RunStore(tmp_path / "runs").list()
    }


def test_demo_does_the_main_job_and_names_its_pictures(labkit: Labkit, tmp_path: Path) -> None:
    done = labkit("demo --devices 2 --json", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [c["strategy"] for c in result["curves"]] == ["data", "pipeline", "tensor", "hybrid"]
    assert all(c["points"][0]["speedup"] == 1.0 for c in result["curves"])
    assert result["accuracy"]["correct"] > result["accuracy"]["before"]
    assert result["preprocess"]["rows_out"] > 0
    assert len(result["files"]) == 5
    assert all((tmp_path / name).stat().st_size > 5_000 for name in result["files"])
    kept = {entry.run for entry in RunStore(tmp_path / "runs").list()}
    assert result["training"]["run"] in kept
    assert set(result["baseline"]["runs"]) < kept
    assert CurveStore(tmp_path / "runs").list()[0].sweep == result["sweep"]
