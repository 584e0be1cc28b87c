"""What a cluster that closes ends and removes on this host."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from labkit.cluster.fork_server import PID_FILE

if TYPE_CHECKING:
    from distributed.deploy.spec import SpecCluster

CLOSE_WORKERS_S = 40.0  # they get seconds to end by themselves, then a busy machine to be gone

logger = logging.getLogger(__name__)


def find_fork_servers(folder: Path) -> list[psutil.Process]:
    """The fork server of a cluster's folder on this host, if it runs."""
    try:
        process = psutil.Process(int((folder / PID_FILE).read_text()))
        return [process] if str(folder) in process.cmdline() else []
    except (OSError, ValueError, psutil.Error):
        return []


def close_owned(owned: SpecCluster) -> None:
    """Close scheduler and workers that the lab started; worker processes that stay are killed."""
    nannies = logging.getLogger("distributed.nanny")
    level = nannies.level
    nannies.setLevel(logging.ERROR)  # they warn that they kill what is slow to end
    try:
        owned.close(timeout=CLOSE_WORKERS_S)
    except TimeoutError:
        logger.exception("the workers did not close, and are killed")
        for nanny in owned.workers.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if nanny.pid:
                    psutil.Process(nanny.pid).kill()
    finally:
        nannies.setLevel(level)


def end_processes(processes: list[psutil.Process], timeout_s: float) -> None:
    """End processes, and wait until they are gone; kill those that do not heed it.

    A fork server without workers ends by itself, but not before it has imported torch, which takes
    seconds where a cluster is closed soon after its launch.
    """
    deadline = time.monotonic() + timeout_s
    for process in processes:
        try:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                process.resume()  # one that was suspended would not heed it
            process.wait(max(0.0, deadline - time.monotonic()))
        except psutil.TimeoutExpired:
            logger.warning("process %d did not end by itself and is killed", process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def remove_folder(folder: Path, timeout_s: float) -> None:
    """Remove a folder that a worker which is being restarted may still write to."""
    deadline = time.monotonic() + timeout_s
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)
