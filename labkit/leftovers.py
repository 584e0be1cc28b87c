"""What labs that did not end properly left behind: fork servers and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from labkit.cluster.fork_server import OWNER_FILE, PID_FILE, owner_lives

FORK_SERVER_MODULE = "labkit.cluster.fork_server"
FOLDER_PATTERN = "labkit-*"


def orphaned_fork_servers(folder: Path) -> Iterator[int]:
    """Pids of this user's fork servers that nobody will end.

    Args:
        folder: the temporary folder that holds the labs' own folders.
    Returns:
        Those whose lab's folder is in ``folder``, or was, and whose lab is gone.
    """
    user = psutil.Process().uids().real
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if FORK_SERVER_MODULE not in command[:-1] or process.uids().real != user:
                continue
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        own = Path(command[-1])
        if own.parent == folder and (not own.exists() or _owner_is_gone(own)):
            yield process.pid


def abandoned_folders(folder: Path) -> Iterator[Path]:
    """This user's lab folders that no living process will remove.

    Args:
        folder: the temporary folder that holds them.
    """
    user = psutil.Process().uids().real
    for path in sorted(folder.glob(FOLDER_PATTERN)):
        if not path.is_dir() or path.stat().st_uid != user:
            continue
        # On the hosts of somebody else's cluster there is no owner, only the fork server.
        owned = (path / OWNER_FILE).exists()
        if _owner_is_gone(path) if owned else _fork_server_is_gone(path):
            yield path


def _owner_is_gone(folder: Path) -> bool:
    return (folder / OWNER_FILE).exists() and not owner_lives(folder)


def _fork_server_is_gone(folder: Path) -> bool:
    """Whether a fork server once ran in the folder and runs no more."""
    try:
        pid = int((folder / PID_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return not psutil.pid_exists(pid)
