"""A folder that cannot be written is said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import SettingError
from labkit.writable import check_folder


def test_a_folder_is_checked_without_being_made(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"cannot be written \(file is a file\)"):
        check_folder(tmp_path / "file" / "below")
