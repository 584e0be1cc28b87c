"""``labkit runs live``, ``follow`` and ``stop``, and the line, on a scheduler that speaks TLS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import pytest
from click.testing import CliRunner

from labkit.cli import live_lines
from labkit.cli.live_lines import LiveLines, wait_telling
from labkit.cli.runs import runs_group
from labkit.cluster.place_in_line import ordinal
from labkit.cluster.security import make_certificate
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Step
from labkit.workload import find_workload

LABKIT = str(Path(sys.executable).with_name("labkit"))
SOON_S = 90.0
# Emulated, so that its ranks sleep between their steps, and leave the cores to the others.
LONG = (
    "train --workload digits --global-batch 64 --dp 2 --steps 1000000 --checkpoint-every 0 "
    "--emulate demo --time-scale 4"
)

Labkit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def where(foreign_dask: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Options that say where somebody's scheduler with two workers is."""
    folder = tmp_path_factory.mktemp("dask")
    make_certificate(folder / "tls.pem")
    with foreign_dask(folder, certificate=folder / "tls.pem") as (_, address):
        assert address.startswith("tls://")
        yield f"--address {address} --security {folder / 'tls.pem'}"


@pytest.fixture(scope="module", autouse=True)
def commands_heed_control_c() -> Iterator[None]:
    """Also where the tests themselves were started in the background, and so ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Command:
    """A command that runs, and what it has said so far on standard error."""

    def __init__(self, command: str, folder: Path, name: str) -> None:
        self.log = folder / name
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [LABKIT, *command.split()],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + SOON_S
        while words not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            threading.Event().wait(0.02)

    def end(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=SOON_S)
        return self.process.returncode, out


@contextmanager
def running(command: str, folder: Path, name: str) -> Iterator[Command]:
    command_ = Command(command, folder, name)
    try:
        yield command_
    finally:
        if command_.process.poll() is None:
            command_.process.kill()
        command_.process.communicate(timeout=SOON_S)


def test_live_runs_are_listed_followed_and_stopped_and_the_line_is_told(
    labkit: Labkit, tmp_path: Path, where: str
) -> None:
    none = labkit(f"runs live {where}", cwd=tmp_path)
    assert (none.returncode, none.stdout[:12]) == (0, "no runs on t")
    with ExitStack() as commands:
        first = commands.enter_context(running(f"{LONG} {where}", tmp_path, "first"))
        first.wait_for("samples/s")
        queued = f"{LONG} {where} --queue-s 300"
        second = commands.enter_context(running(queued, tmp_path, "second"))
        second.wait_for("waiting: 1st in the line for free workers")
        listed = labkit(f"runs live {where} --json", cwd=tmp_path)
        runs = json.loads(listed.stdout)["runs"]
        assert [(run["pid"], run["status"], run["position"]) for run in runs] == [
            (first.process.pid, "running", 0),
            (second.process.pid, "waiting", 1),
        ]
        table = labkit(f"runs live {where}", cwd=tmp_path).stdout
        assert "waiting, 1st in the line" in table
        name = runs[0]["run"]
        with running(f"runs follow {name} {where}", tmp_path, "follower") as follower:
            follower.wait_for("samples/s")
            follower.process.send_signal(signal.SIGINT)
            assert follower.end()[0] == 130
            assert f"run {name} goes on; labkit runs stop {name} --address" in (
                follower.log.read_text()
            )
        with running(f"runs follow {name} {where} --json", tmp_path, "to_the_end") as follower:
            follower.wait_for("samples/s")
            stopped = labkit(f"runs stop {name} {where}", cwd=tmp_path)
            assert stopped.returncode == 0, stopped.stderr
            assert f"run {name}: stopped after step" in stopped.stdout
            status, out = follower.end()
            assert (status, json.loads(out)["status"]) == (0, "stopped")
        status, out = first.end()
        assert status == 0, first.log.read_text()
        assert f"{name} (stopped)" in out
        assert "is asked to stop by" in first.log.read_text()
        again = labkit(f"runs stop {name} {where}", cwd=tmp_path)
        assert again.returncode == 2
        assert f"run {name} has ended (stopped)" in again.stderr
        second.wait_for("samples/s")
        second.process.send_signal(signal.SIGINT)
        assert second.end()[0] == 0
    unknown = labkit(f"runs follow {name}x {where}", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "is not on this scheduler; no run is" in unknown.stderr
    plain = labkit(f"runs live {where.partition(' --security')[0]}", cwd=tmp_path)
    assert plain.returncode == 2
    assert "speaks TLS, but" in plain.stderr


def test_control_c_takes_a_command_out_of_the_line(
    labkit: Labkit, tmp_path: Path, where: str
) -> None:
    sweep = "sweep --workload digits --strategies data --devices 1,2 --steps 3 --repeats 1"
    with running(f"{LONG} {where}", tmp_path, "first") as first:
        first.wait_for("samples/s")
        for command in (LONG, sweep):
            with running(f"{command} {where} --queue-s 300", tmp_path, "waits") as waits:
                waits.wait_for("waiting: 1st in the line for free workers")
                waits.process.send_signal(signal.SIGINT)
                assert waits.end() == (130, "")
                assert waits.log.read_text().endswith("stopped\n")
            runs = json.loads(labkit(f"runs live {where} --json", cwd=tmp_path).stdout)["runs"]
            assert [run["pid"] for run in runs] == [first.process.pid]
        first.process.send_signal(signal.SIGINT)
        assert first.end()[0] == 0


def test_places_are_ordinal_numbers() -> None:
    said = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]


def waiting_record() -> RunRecord:
    plan = Plan(dp=2)
    return RunRecord(
        run="r", workload=find_workload("fruit").to_dict(), plan=plan.to_dict(),
        strategy=plan.strategy, world_size=2, planned_steps=10, queue_position=2,
    )  # fmt: skip


class EndsWithTimeout:
    """A run that waits for a while, then fails with a TimeoutError of its own."""

    def __init__(self) -> None:
        self.num_waits = 0

    @property
    def done(self) -> bool:
        return self.num_waits > 1

    def view(self) -> RunRecord:
        return waiting_record()

    def wait(self, timeout_s: float | None = None) -> Never:
        self.num_waits += 1
        assert self.num_waits < 9, "it has ended long ago"
        raise TimeoutError("the scheduler did not answer" if self.done else "not yet")


def test_a_run_that_fails_with_a_timeout_is_not_waited_for_any_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(TimeoutError, match="the scheduler did not answer"):
        wait_telling(EndsWithTimeout())
    assert capsys.readouterr().err == "waiting: 2nd in the line for free workers\n"


@pytest.mark.parametrize(("status", "code"), [("stopped", 0), ("done", 0), ("failed", 1)])
def test_a_stop_that_ends_in_a_failure_is_one(
    monkeypatch: pytest.MonkeyPatch, status: Any, code: int
) -> None:
    found = SimpleNamespace(run="r", ended=False, step=3, planned_steps=10)
    record = waiting_record()
    record.status, record.error = status, "rank 1 died\nTraceback"

    @contextmanager
    def follow(address: str, run: str, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(found=found, stop=lambda: None, wait=lambda timeout_s: record)

    monkeypatch.setattr("labkit.runs.follow.follow", follow)
    done = CliRunner().invoke(runs_group, ["stop", "r", "--address", "tcp://127.0.0.1:9"])
    assert done.exit_code == code
    why = "; rank 1 died" if code else ""
    assert done.stdout == f"run r: {status} after step 3 of 10{why}\n"


def test_each_change_of_a_run_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_lines, "LINE_S", 0.0)
    record = waiting_record()
    lines = LiveLines()
    for _ in range(2):
        lines.tell(record)
    record.queue_position = 0
    record.steps = [Step(at, 0.5, 64, 0.1, 0.1 * at) for at in range(4)]
    for _ in range(2):
        lines.tell(record)
    record.restarts = 1
    record.recoveries = [{"from_step": 2, "rank": 1, "why": "died"}]
    lines.tell(record)
    assert capsys.readouterr().err.splitlines() == [
        "waiting: 2nd in the line for free workers",
        "step 4 of 10  loss 0.5000  640 samples/s",
        "going on from step 2: rank 1 died",
    ]
