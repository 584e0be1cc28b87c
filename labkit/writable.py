"""Whether files can be written somewhere, asked before the work that makes them."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.errors import SettingError


def check_folder(folder: Path) -> None:
    """Raise a SettingError unless files can be written below this folder; makes nothing."""
    whole = folder.absolute()
    # ``Path.exists`` raises below a folder that may not be searched.
    existing = next(path for path in (whole, *whole.parents) if os.path.exists(path))
    obstacle = "" if os.access(existing, os.W_OK | os.X_OK) else "no permission to write"
    if not existing.is_dir():
        obstacle = f"{existing.name} is a file"
    if obstacle:
        raise SettingError(f"{str(folder)!r} cannot be written ({obstacle}); choose another folder")
