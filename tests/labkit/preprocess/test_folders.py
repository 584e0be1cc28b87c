"""A dataset's folder is there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.errors import SettingError
from labkit.preprocess.folders import (
    begin_again,
    discard,
    make_draft,
    name_draft,
    publish,
    target_of,
)


def finished_draft(target: Path, content: str) -> str:
    draft = name_draft(str(target))
    make_draft(draft, str(target))
    (Path(draft) / "manifest.json").write_text(content)
    return draft


def test_a_draft_becomes_the_dataset_and_replaces_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "data" / "set"
    for content in ("old", "new"):
        publish(finished_draft(target, content), str(target))
        assert (target / "manifest.json").read_text() == content
    assert [path.name for path in target.parent.iterdir()] == ["set"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    publish(finished_draft(target, "x"), str(target))
    assert (target / "manifest.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_discarded_draft_is_gone(tmp_path: Path) -> None:
    draft = finished_draft(tmp_path / "set", "x")
    assert discard(draft)
    assert discard(draft)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SettingError, match="holds files that are no dataset; choose an empty"):
        make_draft(name_draft(str(tmp_path)), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_files_that_came_while_a_dataset_was_made_are_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "set"
    draft = name_draft(str(target), resumable=True)
    assert not begin_again(draft, str(target), {"rows": 3})
    target.mkdir()
    (target / "thesis.txt").touch()
    for go_on in (
        lambda: begin_again(draft, str(target), {"rows": 3}),
        lambda: publish(draft, str(target)),
    ):
        with pytest.raises(SettingError, match="holds files that are no dataset; choose an empty"):
            go_on()
    assert [path.name for path in target.iterdir()] == ["thesis.txt"]
    assert Path(draft).is_dir()


def test_a_url_is_no_folder() -> None:
    for out in ("s3://bucket/set", Path("s3://bucket/set")):
        with pytest.raises(SettingError, match="is a URL; give a path: shards go to a folder"):
            target_of(out)
    assert target_of("data/c:set") == Path.cwd() / "data" / "c:set"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.touch()
    with pytest.raises(SettingError, match="is a file; choose a folder"):
        make_draft(name_draft(str(target)), str(target))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "set"
    with pytest.raises(SettingError, match=r"file' cannot be written \(file is a file\); choose"):
        make_draft(name_draft(str(target)), str(target))


@pytest.mark.parametrize("how", ["writable by others", "a link", "of another user"])
def test_a_draft_that_another_user_may_have_put_there_is_not_read(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold pickles, which run code when they are read."""
    target = str(tmp_path / "set")
    draft = Path(name_draft(target, resumable=True))
    if how == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        draft.symlink_to(tmp_path / "elsewhere")
    else:
        draft.mkdir()
        draft.chmod(0o777 if how == "writable by others" else 0o700)
    if how == "of another user":
        monkeypatch.setattr(os, "geteuid", lambda: draft.stat().st_uid + 1)
    for make in (make_draft, lambda *names: begin_again(*names, {"rows": 3})):
        with pytest.raises(SettingError, match="not a folder of this user alone; remove it, or"):
            make(str(draft), target)
