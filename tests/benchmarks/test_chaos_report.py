"""Pieces of a campaign are told as one: each attack once, and nothing that was wrong is lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chaos_report import Attack, Piece, merge, print_table, what_is_wrong


def attack(number: int, name: str = "rank killed", wrong: str = "", plan: str = "data") -> Attack:
    return Attack(
        number=number, name=name, plan=plan, wrong=wrong, note="", seconds=1.0,
        detection_s=0.5 + number, recovery_s=None,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two attacks of a seed, and two further ones of which one was made and found something."""
    first = Piece(num=2, seed=7, first=0, attacks=[attack(0), attack(1)], over=True)
    second = Piece(num=2, seed=7, first=2, attacks=[attack(2, wrong="it hangs")], left="a port")
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    for piece, path in zip((first, second), paths, strict=True):
        piece.write(path)
    return paths


def test_the_pieces_come_back_as_they_were_written_and_their_findings_with_them(
    files: list[Path],
) -> None:
    first, second = merge(files)
    assert first.attacks == [attack(0), attack(1)]
    assert what_is_wrong([first]) == []
    assert what_is_wrong([first, second]) == [
        "rank killed: it hangs (to repeat it: chaos.py 1 7 2)",
        "attacks 2 to 3 of seed 7: it broke off after 1",
        "attacks 2 to 3 of seed 7: left behind in the end: a port",
    ]


def test_the_table_has_a_line_for_each_kind_over_all_pieces(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(merge(files))
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[-2].split()) == "rank killed 3 0 1 1.50 2.50 2.50 - - -"
    assert lines[-1] == "3 attacks, 1 of them wrong; plans: data 3"
    print_table([Piece(num=2, seed=7, first=0, attacks=[attack(0), attack(1, plan="")])])
    assert capsys.readouterr().out.endswith("; plans: data 1\n"), "the other one trained nothing"


def test_an_attack_is_not_counted_twice(files: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    Piece(num=1, seed=7, first=1, attacks=[attack(1)], over=True).write(again)
    with pytest.raises(ValueError, match=r"attack 1 of seed 7 is in .*first.json and in .*again"):
        merge([*files, again])
    Piece(num=1, seed=8, first=1, attacks=[attack(1)], over=True).write(again)
    assert len(merge([*files, again])) == 3, "another seed, another attack"


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"run": "20260101-000000-abcdef"}')
    with pytest.raises(ValueError, match=r"other.json is no file of chaos.py --json: .*'run'"):
        merge([other])
