"""``labkit train --resume``: a run goes on, also when its client was killed, under any plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.runs.store import RunStore

LABKIT = str(Path(sys.executable).with_name("labkit"))
FIRST_CHECKPOINT_S = 120.0

Labkit = Callable[..., subprocess.CompletedProcess[str]]


def kill_after_a_checkpoint(command: str, cwd: Path) -> None:
    """Start a run, and kill its client as soon as a checkpoint is complete."""
    with (cwd / "log").open("w") as log:
        client = subprocess.Popen([LABKIT, *command.split()], cwd=cwd, stdout=log, stderr=log)
        deadline = time.monotonic() + FIRST_CHECKPOINT_S
        while not list(cwd.glob("runs/*/checkpoints/step-?????[0-9]")):
            assert client.poll() is None, (cwd / "log").read_text()
            assert time.monotonic() < deadline, (cwd / "log").read_text()
            time.sleep(0.02)
        os.kill(client.pid, signal.SIGKILL)
        client.wait(30)


def test_a_run_whose_client_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    labkit: Labkit, tmp_path: Path
) -> None:
    settings = "--global-batch 64 --seed 3"
    kill_after_a_checkpoint(
        f"train --workload digits --dp 2 --steps 100000 --checkpoint-every 5 {settings}", tmp_path
    )
    (entry,) = RunStore(tmp_path / "runs").list()
    assert "cut off" in entry.damage
    step = int(entry.damage.rpartition(" ")[2])
    steps = step + 4
    done = labkit(f"train --resume {entry.run} --dp 1 --steps {steps} --json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["resumed"]["step"] == step
    assert record["resumed"]["folder"].endswith(f"{entry.run}/checkpoints/step-{step:06d}")
    assert (record["plan"]["dp"], record["status"], record["steps"]) == (1, "done", 4)
    straight = labkit(
        f"train --workload digits --steps {steps} {settings} --checkpoint-every 0 --json",
        cwd=tmp_path,
    )
    assert straight.returncode == 0, straight.stderr
    expected = json.loads(straight.stdout)
    assert expected["checkpoints"] == []
    assert record["losses"] == pytest.approx(expected["losses"][step:], abs=1e-6)
    done = labkit(f"train --resume {entry.run} --steps {step}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"has done {step} steps" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "give --workload NAME, or --resume RUN"),
        ("train --resume nothing", "run 'nothing' is unknown"),
        ("train --workload fruit --checkpoint-every -1", "checkpoint_every=-1 is no count"),
        ("train --workload fruit --max-restarts -1", "max_restarts=-1 is not a count"),
    ],
)
def test_bad_input_is_one_clear_line(
    labkit: Labkit, tmp_path: Path, command: str, message: str
) -> None:
    done = labkit(command, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
