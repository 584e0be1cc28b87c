"""What was done is not done again, and what was begun with other settings is not taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.preprocess import folders
from labkit.preprocess.resume import Resumable
from labkit.preprocess.tasks import InThisProcess


def note(number: int, *, log: str, fails_at: int = -1) -> int:
    if number == fails_at:
        raise RuntimeError("the power went")
    with Path(log).open("a") as file:
        file.write(f"{number} ")
    return number * number


@pytest.fixture
def draft(tmp_path: Path) -> str:
    target = str(tmp_path / "data")
    found = folders.name_draft(target, resumable=True)
    assert not folders.begin_again(found, target, {"rows": 3})
    return found


def test_only_what_is_missing_is_done(draft: str, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with pytest.raises(RuntimeError, match="the power went"):
        Resumable(InThisProcess(), draft).map(note, range(4), log=log, fails_at=2)
    again = Resumable(InThisProcess(), draft)
    assert again.map(note, range(4), log=log) == [0, 1, 4, 9]
    assert again.map(note, range(2), log=log) == [0, 1], "a further call is another one"
    assert Path(log).read_text() == "0 1 2 3 0 1 "


def test_the_same_is_found_again_and_another_begins_anew(draft: str, tmp_path: Path) -> None:
    target = str(tmp_path / "data")
    kept = Path(draft) / "done" / "000-00000.pickle"
    kept.write_bytes(b"")
    assert folders.begin_again(draft, target, {"rows": 3})
    assert kept.exists()
    assert not folders.begin_again(draft, target, {"rows": 4})
    assert not kept.exists()


def test_only_the_owner_can_read_what_is_kept(draft: str) -> None:
    assert Path(draft).stat().st_mode & 0o077 == 0


def test_nothing_of_it_is_in_the_finished_dataset(draft: str, tmp_path: Path) -> None:
    target = tmp_path / "data"
    Resumable(InThisProcess(), draft).map(note, range(2), log=str(tmp_path / "log"))
    folders.publish(draft, str(target))
    assert {path.name for path in target.iterdir()} == {"shards", "set_aside", "repairs"}
