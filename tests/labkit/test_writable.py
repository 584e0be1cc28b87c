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


def test_a_folder_that_may_not_be_searched_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)  # as it does below such a folder
    monkeypatch.setattr("labkit.writable.os.access", lambda path, mode: False)
    with pytest.raises(SettingError, match="no permission to write"):
        check_folder(tmp_path / "a" / "b")
