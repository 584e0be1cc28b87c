"""A session of tests, in one process or several: how it ends when told to, or by a crash."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
DEADLINE_S = 90.0
MAKEFILE = Path(__file__).parent.with_name("Makefile").read_text()
(SHARED,) = re.findall(r"^SHARED := (.*)$", MAKEFILE, re.MULTILINE)
HELD = """
import os, pathlib, tempfile, time
import pytest

@pytest.fixture(scope="session")
def slow_to_end():
    here = pathlib.Path(__file__).with_suffix(".began")
    here.touch()
    yield
    time.sleep(6.0)  # longer than pytest-xdist waits before it interrupts once more
    here.rename(here.with_suffix(".ended"))

def test_it(slow_to_end):
    time.sleep(60.0)
"""
PLACES = """
import os, pathlib, tempfile

def test_it(tmp_path):
    place = pathlib.Path(tempfile.gettempdir())
    assert tmp_path.is_relative_to(place)
    mark = os.environ["LABKIT_TEST_SESSION"]
    pathlib.Path(__file__).with_suffix(".place").write_text(f"{mark} {place}")
"""
CRASH = """
import os

def test_it():
    os._exit(3)
"""
CRASH_BEFORE = """
import os

if os.environ["PYTEST_XDIST_WORKER"] == "gw1":
    os._exit(3)

def test_it():
    pass
"""
PASS = "def test_it(): pass\n"


def begin(folder: Path, options: str, *sources: str) -> psutil.Popen:
    """Start a session of the sources, each a file of its own, under this suite's conftest."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    for number, source in enumerate(sources):
        (folder / f"test_{number}.py").write_text(source)
    (folder / "tmp").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return psutil.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options.split()],
        cwd=folder,
        env={**environment, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        text=True,
    )


def end_of(session: psutil.Popen) -> tuple[int, str]:
    """How it ended, and what it printed."""
    printed, _ = session.communicate(timeout=DEADLINE_S)
    return session.returncode, printed


def test_two_processes_have_a_mark_and_a_folder_each_that_are_gone_in_the_end(
    tmp_path: Path,
) -> None:
    status, printed = end_of(begin(tmp_path, SHARED, PLACES, PLACES))
    assert status == 0, printed
    assert " 2 passed in " in printed.splitlines()[-1]
    marks, places = zip(
        *(file.read_text().split() for file in tmp_path.glob("*.place")), strict=True
    )
    assert len(set(marks)) == len(set(places)) == 2
    assert {Path(place).parent for place in places} == {tmp_path / "tmp"}
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("options", "number"),
    [("-n 0", signal.SIGTERM), (SHARED, signal.SIGTERM), (SHARED, signal.SIGINT)],
    ids=["one told", "two told", "two by Control-C"],
)
def test_a_session_that_is_told_to_end_cleans_up_first(
    tmp_path: Path, options: str, number: signal.Signals
) -> None:
    num_processes = 2 if options == SHARED else 1
    session = begin(tmp_path, options, *[HELD] * num_processes)
    deadline = time.monotonic() + DEADLINE_S
    while len(list(tmp_path.glob("*.began"))) < num_processes:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in [session, *session.children()] if number == signal.SIGINT else [session]:
        process.send_signal(number)  # Control-C reaches all of them at once
    status, printed = end_of(session)
    assert status == pytest.ExitCode.INTERRUPTED, printed
    assert len(list(tmp_path.glob("*.ended"))) == num_processes, printed
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("crash", "said"),
    [(CRASH, "crashed while running 'test_0.py::test_it'"), (CRASH_BEFORE, "worker gw1 crashed")],
    ids=["in a test", "before the tests"],
)
def test_a_crashed_process_fails_the_session(tmp_path: Path, crash: str, said: str) -> None:
    status, printed = end_of(begin(tmp_path, SHARED, crash, PASS, PASS))
    assert status == pytest.ExitCode.TESTS_FAILED, printed
    assert said in printed
    assert not list((tmp_path / "tmp").iterdir())


def test_folders_whose_tests_disturb_each_other_wait(
    tests_apart: Callable[..., AbstractContextManager[None]], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with (
        tests_apart(str(first), str(second)),
        tests_apart(str(first), str(second)),
        pytest.raises(TimeoutError, match=r"first still run after 0\.2 s"),
        tests_apart(str(second), str(first), 0.2),
    ):
        pass
    with tests_apart(str(second), str(first), 0.2):
        pass
