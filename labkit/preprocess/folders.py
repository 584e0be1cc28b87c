"""A dataset's folder appears whole or not at all: written as a draft, then moved into place.

These functions run as tasks, because the folders lie on the workers' host.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from labkit.errors import SettingError
from labkit.preprocess.shards import MANIFEST_FILE, SHARD_FOLDER

SUBFOLDERS = (SHARD_FOLDER, "set_aside")


def name_draft(target: str) -> str:
    """A name that nothing has yet, beside ``target``."""
    final = Path(target)
    return str(final.with_name(f".{final.name}.draft-{uuid.uuid4().hex[:8]}"))


def make_draft(draft: str, target: str) -> None:
    """Make the draft's folder and subfolders.

    Raises:
        SettingError: ``target`` holds something other than a dataset, or cannot be written.
    """
    final = Path(target)
    if final.exists() and not (final / MANIFEST_FILE).is_file():
        if not final.is_dir():
            raise SettingError(f"{final} is a file; choose a folder for the dataset")
        if any(final.iterdir()):
            raise SettingError(
                f"{final} holds files that are no dataset; choose an empty or a new folder"
            )
    try:
        for name in SUBFOLDERS:
            (Path(draft) / name).mkdir(parents=True)
    except OSError as error:
        raise SettingError(
            f"cannot write in {final.parent} ({error.strerror}); choose another folder"
        ) from error


def publish(draft: str, target: str) -> None:
    """Move a finished draft to its place; an older dataset there is replaced."""
    final = Path(target)
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
