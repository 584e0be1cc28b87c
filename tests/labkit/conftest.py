"""A scheduler and its workers as somebody else starts them, without the lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import Client

from labkit.cluster.security import security_of

START_S = 90.0
END_S = 30.0
HEED_S = 30.0

ForeignDask = Callable[..., AbstractContextManager[tuple[subprocess.Popen[bytes], str]]]


@contextmanager
def run_dask(
    folder: Path, num_workers: int = 2, certificate: Path | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Processes of Dask's own commands on loopback, all workers there.

    Args:
        folder: for their files.
        num_workers: of one thread each.
        certificate: PEM file by which all of them speak TLS; ``None`` for no encryption.
    Yields:
        The scheduler's process, and its address.
    """
    told = folder / "scheduler.json"
    common = ["--scheduler-file", str(told), "--no-dashboard", "--host", "127.0.0.1"]
    security = None
    if certificate is not None:
        security = security_of(certificate)
        common += ["--protocol", "tls"]
        for part in ("ca-file", "cert", "key"):
            common += [f"--tls-{part}", str(certificate)]
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0"]
    scheduler = subprocess.Popen(
        [*module, "--dashboard-address", "127.0.0.1:0"],
        cwd=folder,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(folder)},
    )
    module = [sys.executable, "-m", "distributed.cli.dask_worker", *common]
    options = f"--nworkers {num_workers} --nthreads 1 --local-directory {folder}"
    workers = subprocess.Popen([*module, *options.split()], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not (told.exists() and told.read_text().endswith("}")):  # whole, not half of it
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        address = str(json.loads(told.read_text())["address"])
        with Client(address, timeout=START_S, security=security, set_as_default=False) as client:
            client.wait_for_workers(num_workers, timeout=START_S)
        yield scheduler, address
    finally:
        for process in (scheduler, workers):
            process.terminate()
            process.wait(END_S)


@pytest.fixture(scope="session")
def foreign_dask() -> ForeignDask:
    """The function itself: test files cannot import from here."""
    return run_dask


def suspend_process(process: psutil.Process) -> None:
    """SIGSTOP a process, and wait until it has heeded it."""
    process.suspend()
    deadline = time.monotonic() + HEED_S
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, process
        threading.Event().wait(0.005)


@pytest.fixture(scope="session")
def suspend() -> Callable[[psutil.Process], None]:
    """The function itself, as above."""
    return suspend_process
