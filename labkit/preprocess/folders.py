"""A dataset's folder appears whole or not at all: written as a draft, then moved into place.

These functions run as tasks, because the folders lie on the workers' host. A task whose worker
dies at its end is done again, so each may find its work done.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.preprocess import resume
from labkit.preprocess.shards import MANIFEST_FILE, SHARD_FOLDER
from labkit.writable import check_folder

WORK = "work"  # rows between the steps, and what is kept to resume: not part of the dataset
TEMPORARY = (WORK, resume.FOLDER)
SUBFOLDERS = (SHARD_FOLDER, "set_aside", "repairs", WORK, resume.FOLDER)


def name_draft(target: str, *, resumable: bool = False) -> str:
    """A name beside ``target``: one that nothing has yet, or the one that is found again."""
    final = Path(target)
    ending = "unfinished" if resumable else f"draft-{uuid.uuid4().hex[:8]}"
    return str(final.with_name(f".{final.name}.{ending}"))


def make_draft(draft: str, target: str) -> None:
    """Make the draft's folder and subfolders, for its owner only.

    Raises:
        SettingError: as ``check_target``, or the draft's folder is somebody else's.
    """
    check_own(draft)
    check_target(target)
    try:
        Path(draft).parent.mkdir(parents=True, exist_ok=True)
        Path(draft).mkdir(mode=0o700, exist_ok=True)
        check_own(draft)
        for name in SUBFOLDERS:
            (Path(draft) / name).mkdir(exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"cannot write in {Path(target).parent} ({error.strerror}); choose another folder"
        ) from error


def target_of(out: Path | str) -> Path:
    """Where a dataset is to lie: an absolute path.

    Raises:
        SettingError: it is a URL.
    """
    if re.match(r"[a-z][a-z0-9+.-]*:/", str(out)):  # a Path has made one slash of two
        raise SettingError(f"out={str(out)!r} is a URL; give a path: shards go to a folder")
    return Path(out).expanduser().absolute()


def check_target(target: str | Path) -> None:
    """Refuse a folder that no dataset may be moved to; makes nothing.

    Raises:
        SettingError: it holds something other than a dataset, or cannot be written.
    """
    final = Path(target)
    check_folder(final.parent)
    if final.exists() and not (final / MANIFEST_FILE).is_file():
        if not final.is_dir():
            raise SettingError(f"{final} is a file; choose a folder for the dataset")
        if any(final.iterdir()):
            raise SettingError(
                f"{final} holds files that are no dataset; choose an empty or a new folder"
            )


def check_own(draft: str) -> None:
    """Refuse a draft that another user may have put there, or can write to: it holds pickles.

    Raises:
        SettingError: it is not this user's alone.
    """
    try:
        state = Path(draft).lstat()
    except OSError:  # not there; what cannot be looked at cannot be made either
        return
    if state.st_uid != os.geteuid() or not stat.S_ISDIR(state.st_mode) or state.st_mode & 0o022:
        raise SettingError(
            f"{draft} is there and not a folder of this user alone; remove it, or choose another "
            "folder for the dataset"
        )


def begin_again(draft: str, target: str, fingerprint: Mapping[str, Any]) -> bool:
    """Make a draft that can be resumed, or find it; one that was begun with others is replaced.

    Args:
        draft, target: as of ``make_draft``.
        fingerprint: what is being preprocessed, and how.
    Returns:
        Whether the same was begun before.
    Raises:
        SettingError: as of ``make_draft``.
    """
    check_own(draft)
    check_target(target)
    if resume.matches(draft, fingerprint):
        return True
    discard(draft)
    make_draft(draft, target)
    resume.keep_fingerprint(draft, fingerprint)
    return False


def publish(draft: str, target: str) -> None:
    """Move a finished draft to its place; an older dataset there is replaced.

    Raises:
        SettingError: as of ``check_target``: something else has come there meanwhile.
    """
    final = Path(target)
    if not Path(draft).exists():
        return  # it was moved already
    check_target(target)
    for name in TEMPORARY:
        shutil.rmtree(Path(draft) / name, ignore_errors=True)
    (Path(draft) / resume.FINGERPRINT_FILE).unlink(missing_ok=True)
    old = final.with_name(f".{final.name}.old-{uuid.uuid4().hex[:8]}")
    if final.exists():
        final.rename(old)
    Path(draft).rename(final)
    shutil.rmtree(old, ignore_errors=True)


def discard(draft: str, attempts: int = 20) -> bool:
    """Remove a draft; returns whether it is gone.

    A task that was cancelled may still be writing: each attempt removes what it left. Writers never
    create folders, so once the folders are gone the last of them fails and nothing comes back.
    """
    for _ in range(attempts):
        shutil.rmtree(draft, ignore_errors=True)
        if not Path(draft).exists():
            return True
    return False
