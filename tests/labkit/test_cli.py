"""The command line: its contract, its exit statuses, and one clear line for bad input."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LABKIT = str(Path(sys.executable).with_name("labkit"))


def labkit(command: str, *, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [LABKIT, *command.split()], cwd=cwd, capture_output=True, text=True, timeout=timeout
    )


def test_train_prints_one_json_object_and_keeps_the_record(tmp_path: Path) -> None:
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
    assert (tmp_path / "runs" / record["run"] / "record.json").exists()


def test_sweep_gives_the_contracts_object(tmp_path: Path) -> None:
    done = labkit(
        "sweep --workload digits --strategies data,tensor --devices 1,2 --repeats 1 --steps 4 "
        "--out pictures --json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    curve = json.loads(done.stdout)
    assert (curve["workload"], curve["kind"], curve["scaling"]) == ("digits", "measured", "strong")
    assert [c["strategy"] for c in curve["curves"]] == ["data", "tensor"]
    for strategy in curve["curves"]:
        one, two = strategy["points"]
        assert one["devices"] == 1
        assert one["speedup"] == 1.0
        assert two["devices"] == 2
        assert two["efficiency"] == pytest.approx(two["speedup"] / 2)
        assert two["ideal_speedup"] is None
        assert two["lateness"] is None
    assert (tmp_path / "pictures" / "speedup.png").stat().st_size > 10_000


def test_demo_does_the_main_job_and_names_its_pictures(tmp_path: Path) -> None:
    done = labkit("demo --devices 2 --json", cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [c["strategy"] for c in result["curves"]] == ["data", "pipeline", "tensor", "hybrid"]
    assert all(c["points"][0]["speedup"] == 1.0 for c in result["curves"])
    assert result["accuracy"]["correct"] > result["accuracy"]["before"]
    assert result["preprocess"]["rows_out"] > 0
    assert len(result["files"]) == 5
    assert all((tmp_path / name).stat().st_size > 5_000 for name in result["files"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "train --workload fruit --dp 4 --pp 4 --devices 8",
            "dp(4) * pp(4) * tp(1) = 16 but 8 devices are available; choose degrees whose product "
            "is at most 8",
        ),
        ("train --workload fruit --dp 4096 --tp 8", "devices are available; choose degrees"),
        ("train --workload fruit --pp 32", "pp(32) stages but workload 'fruit' has"),
        ("train --workload fruit --pp 2 --microbatches 7", "microbatches(7) does not divide"),
        ("train --workload imagenet", "workload 'imagenet' is unknown; choose from fruit"),
        ("train --workload fruit --schedule zigzag", "schedule='zigzag' is not available"),
        ("train --workload fruit --steps 0", "steps=0 is not a length"),
        ("train --workload fruit --steps 5 --epochs 1", "both given; choose one"),
        ("train --workload fruit --dp two", "'two' is not a valid integer"),
        ("train", "Missing option '--workload'"),
        ("sweep --workload fruit --strategies magic", "strategy 'magic' is unknown"),
        ("sweep --workload fruit --devices 1;2", "is not a list of numbers such as 1,2,4"),
        ("sweep --workload fruit --devices 1000", "devices are available"),
        ("sweep --workload fruit --repeats 0", "repeats=0 is not a count"),
        ("sweep --workload fruit --steps 2", "steps=2 leaves nothing"),
        ("sweep --workload fruit --out file", "'file' cannot be written"),
        ("train --workload fruit --runs file", "'file' cannot be written"),
        ("train --workload fruit --seed -1", "seed=-1; choose a whole number"),
        ("train --workload fruit --pp 32 --address tcp://127.0.0.1:9", "pp(32) stages but"),
        ("preprocess --source no/such/folder --out shards", "no/such/folder"),
        ("demo --out file", "'file' cannot be written"),
        ("demo --devices 0", "devices=0"),
        ("open no_such_notebook.ipynb", "no_such_notebook.ipynb"),
        ("train --workload fruit --address tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("fly", "No such command 'fly'"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_two(
    tmp_path: Path, command: str, message: str
) -> None:
    (tmp_path / "file").touch()
    done = labkit(command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = labkit(f"open --no-browser --port {port}", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(port) in line


def test_doctor_finds_the_lab_able_to_run(tmp_path: Path) -> None:
    done = labkit("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout
    report = json.loads(labkit("doctor --json", cwd=tmp_path).stdout)
    assert report["ok"] is True
