"""``labkit open`` and ``labkit doctor``."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

Labkit = Callable[..., subprocess.CompletedProcess[str]]


def test_a_taken_port_is_refused(labkit: Labkit, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = labkit(f"open --no-browser --port {port}", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert str(port) in line


def test_doctor_finds_the_lab_able_to_run(labkit: Labkit, tmp_path: Path) -> None:
    done = labkit("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout
    report = json.loads(labkit("doctor --json", cwd=tmp_path).stdout)
    assert report["ok"] is True
