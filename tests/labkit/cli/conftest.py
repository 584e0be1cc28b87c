"""The command as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LABKIT = str(Path(sys.executable).with_name("labkit"))

Labkit = Callable[..., subprocess.CompletedProcess[str]]


def labkit(
    command: str, *, cwd: Path, timeout: float = 120, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command line; ``answer`` is what the user types."""
    return subprocess.run(
        [LABKIT, *command.split()],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        input=answer,
    )


@pytest.fixture(name="labkit")
def labkit_fixture() -> Labkit:
    """The function itself: test files cannot import from here."""
    return labkit
