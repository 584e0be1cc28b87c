"""Checkpoints as files: their names, which are complete, and how one becomes so.

A checkpoint is a folder such as ``step-000040``. The ranks write it under a name of their own that
ends in ``.part``; when all of it is there, one rank renames it. So a reader sees a whole checkpoint
or none, whenever the writers were killed, and what they left behind is known by its name.

Only files of the user's own are read, in folders where nobody else can write. The description is
JSON; of the index, which ``torch.distributed.checkpoint`` keeps as a pickle, see
``checkpoint_index.py``.

Importing this loads no torch: the client finds checkpoints, too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import SettingError

DESCRIPTION_FILE = "checkpoint.json"
METADATA_FILE = ".metadata"  # written last by torch.distributed.checkpoint
PART = ".part"  # ends the name of what is not complete

_NAME = re.compile(r"step-(\d+)")
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """When a run writes checkpoints, and where.

    Attributes:
        folder: holds one folder a checkpoint; on a disk that all ranks share.
        every_steps: steps from one to the next, >= 1, and one more where the training ends or is
            stopped; ``None`` goes by time, and takes at most 2 % of it.
        keep: newest ones that are kept, >= 1.
        passing: whether they are only for failures, and removed once the training is done.
    Raises:
        SettingError: a count below 1.
    """

    folder: str
    every_steps: int | None = None
    keep: int = 2
    passing: bool = False

    def __post_init__(self) -> None:
        if self.every_steps is not None and self.every_steps < 1:
            raise SettingError(
                f"checkpoint_every={self.every_steps} is no count of steps; choose a number >= 1, "
                "or None to go by time"
            )
        if self.keep < 1:
            raise SettingError(f"keep={self.keep} keeps no checkpoint; choose a number >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One complete checkpoint.

    Attributes:
        folder: where it is.
        step: steps that it has done, and so the first one that is left.
        plan, workload: of the run that wrote it, as plain values.
        run: identifier of the ranks that wrote it.
        num_steps: steps that the run was asked for.
        num_samples: training samples of its dataset, on which the data order depends.
        emulation: ``device`` and ``time_scale`` of an emulated run, else empty.
    """

    folder: str
    step: int
    plan: dict[str, Any]
    workload: dict[str, Any]
    run: str = ""
    num_steps: int = 0
    num_samples: int = 0
    emulation: dict[str, Any] = field(default_factory=dict)


# -- reading ---------------------------------------------------------------------------------------


def latest(folder: str | Path, at_most: int | None = None) -> Saved | None:
    """The newest complete checkpoint below a folder; damaged ones are passed over, with a warning.

    Args:
        folder: of a run's checkpoints.
        at_most: steps; later ones are passed over, too.
    Returns:
        ``None`` where there is none, or no such folder.
    Raises:
        SettingError: it belongs to another user, or others may write to it.
    """
    for path in _newest_first(Path(folder)):
        if at_most is not None and _step_of(path.name) > at_most:
            continue
        check_own(path)
        try:
            return read(path)
        except SettingError as error:
            logger.warning("%s", error)
    return None


def read(folder: str | Path) -> Saved:
    """What one checkpoint says of itself.

    Raises:
        SettingError: it is missing, not complete or damaged, or not the user's own.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SettingError(f"there is no checkpoint {str(folder)!r}; choose one that is there")
    check_own(folder)
    try:
        values = json.loads((folder / DESCRIPTION_FILE).read_text())
        _check_files(folder, values.pop("files"))
        saved = Saved(folder=str(folder), **values)
        if saved.step < 1 or not isinstance(saved.plan["dp"], int) or not saved.workload["name"]:
            raise ValueError(f"step {saved.step}, plan {saved.plan}")
    except _UNREADABLE as error:
        raise SettingError(
            f"checkpoint {folder} is damaged ({type(error).__name__}: {error}); choose another "
            "one, or remove it"
        ) from error
    return saved


def check_own(folder: Path) -> None:
    """Raise a SettingError unless a checkpoint's files are the user's, and only theirs to write."""
    for path in (folder, *folder.iterdir()):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise SettingError(f"{path} is a link, so it is not read; give the folder itself")
        if status.st_uid != os.getuid():
            raise SettingError(
                f"checkpoint {path} belongs to user {status.st_uid}, not to {os.getuid()}, so it "
                "is not read; copy it to a folder of your own if you trust its writer"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingError(
                f"others may write to checkpoint {path}, so it is not read; if you trust it, "
                f"chmod -R go-w {folder}"
            )


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: _step_of(path.name), reverse=True)


def _step_of(name: str) -> int:
    match = _NAME.match(name)
    assert match, f"{name} is no checkpoint"
    return int(match[1])


def _check_files(folder: Path, sizes: Mapping[str, int]) -> None:
    """Raise a ValueError unless every file is there and whole."""
    if METADATA_FILE not in sizes:
        raise ValueError(f"{METADATA_FILE} is not among its files")
    for name, size in sizes.items():
        found = (folder / name).stat().st_size
        if found != size:
            raise ValueError(f"{name} has {found} bytes instead of {size}")


# -- writing ---------------------------------------------------------------------------------------


def begin(folder: Path, step: int, writer: str) -> Path:
    """A private folder for a checkpoint that is going to be written; made by one rank.

    Args:
        folder: of the run's checkpoints; made, too.
        step: steps done.
        writer: of these ranks only, so that ranks given up for dead do not write into it.
    """
    for made in (folder.parent, folder):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = part_of(folder, step, writer)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    return part


def part_of(folder: Path, step: int, writer: str) -> Path:
    """Where ``begin`` has a checkpoint written."""
    return folder / f"{_name(step)}.{writer}{PART}"


def describe(part: Path, saved: Mapping[str, Any]) -> int:
    """Write what a checkpoint holds beside its tensors; returns the bytes of all its files.

    Args:
        part: with everything in it but the description.
        saved: the fields of ``Saved``, without the folder.
    """
    sizes = {}
    for path in part.iterdir():
        path.chmod(0o600)
        sizes[path.name] = path.stat().st_size
    text = json.dumps({**saved, "files": sizes})
    with (part / DESCRIPTION_FILE).open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    (part / DESCRIPTION_FILE).chmod(0o600)
    return sum(sizes.values()) + len(text)


def name_of(part: Path) -> Path:
    """Where a checkpoint is when it is complete."""
    return part.parent / _name(_step_of(part.name))


def complete(part: Path) -> Path:
    """Give a checkpoint its name, in place of an earlier one of that step; returns the folder."""
    folder = name_of(part)
    old = _set_aside(folder) if folder.exists() else None
    try:
        part.rename(folder)
    except OSError:
        if old is not None:
            old.rename(folder)
        raise
    _sync_folder(part.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def keep_newest(folder: Path, keep: int) -> None:
    """Remove all complete checkpoints but the newest ones."""
    for old in _newest_first(folder)[keep:]:
        shutil.rmtree(_set_aside(old), ignore_errors=True)


def remove_passing(checkpoints: Checkpoints | None) -> None:
    """Remove the checkpoints of a training that is done, where they were only for failures."""
    if checkpoints is not None and checkpoints.passing:
        shutil.rmtree(checkpoints.folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what was being written, or removed, when its ranks were ended."""
    for part in folder.glob(f"*{PART}"):
        shutil.rmtree(part, ignore_errors=True)


def _set_aside(folder: Path) -> Path:
    """Rename a checkpoint that is going to be removed, so that it counts as incomplete at once."""
    old = folder.with_name(f"{folder.name}.old{PART}")
    shutil.rmtree(old, ignore_errors=True)
    return folder.rename(old)


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _sync_folder(folder: Path) -> None:
    """Have a rename reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
