"""What campaigns found: a file for each piece of one, and the table and verdict of them all."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

TOO_LATE = "it had ended before"  # the note of an attack that found nobody left to hurt


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack that was made; see ``chaos_scene.Outcome``.

    Attributes:
        number: of the attack, which with the seed repeats it.
        name, plan: what was done, and the strategy that was trained; empty for none.
        wrong: empty when all was as expected.
        detection_s, recovery_s: ``None`` where there was nothing to detect or to recover.
        seconds: that the attack took, with what it disturbed.
    """

    number: int
    name: str
    plan: str
    wrong: str
    detection_s: float | None
    recovery_s: float | None
    note: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Piece:
    """Attacks that one process makes, from number ``first`` on.

    Attributes:
        num, seed, first: which ones.
        attacks: those that were made so far.
        over: whether all of them were, and everything was closed.
        left: what was there afterwards that must not be, in words.
        seconds: from beginning to end.
        machine: versions and cores, to know where it was.
    """

    num: int
    seed: int
    first: int
    attacks: list[Attack] = field(default_factory=list)
    over: bool = False
    left: str = ""
    seconds: float = 0.0
    machine: dict[str, str | int | None] = field(
        default_factory=lambda: {
            "python": platform.python_version(),
            "torch": version("torch"),
            "cores": os.cpu_count(),
        }
    )

    def write(self, path: Path) -> None:
        """As JSON; the file is whole at every moment."""
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Piece:
        """What ``write`` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            piece = cls(**json.loads(path.read_text()))
            piece.attacks = [Attack(**attack) for attack in piece.attacks]  # type: ignore[arg-type]
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no file of chaos.py --json: {error}") from error
        return piece


def merge(paths: Sequence[Path]) -> list[Piece]:
    """The pieces in some files.

    Raises:
        ValueError: an attack is in two of them, or a file holds something else.
    """
    pieces: list[Piece] = []
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        pieces.append(piece := Piece.read(path))
        for attack in piece.attacks:
            other = seen.setdefault((piece.seed, attack.number), path)
            if other is not path:
                raise ValueError(
                    f"attack {attack.number} of seed {piece.seed} is in {other} and in {path}; "
                    "give each piece its own FIRST, or name the file once"
                )
    return pieces


def what_is_wrong(pieces: Iterable[Piece]) -> list[str]:
    """A line for everything that was not as it has to be; how to repeat an attack."""
    wrong = []
    for piece in pieces:
        for attack in piece.attacks:
            if attack.wrong:
                again = f"chaos.py 1 {piece.seed} {attack.number}"
                wrong.append(f"{attack.name}: {attack.wrong} (to repeat it: {again})")
        last = piece.first + piece.num - 1
        which = f"attacks {piece.first} to {last} of seed {piece.seed}"
        if not piece.over:
            wrong.append(f"{which}: it broke off after {len(piece.attacks)}")
        if piece.left:
            wrong.append(f"{which}: left behind in the end: {piece.left}")
    return wrong


def spread(values: Sequence[float | None]) -> str:
    """Median, the value that nine of ten stay below, and the largest, in seconds."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return f"{'-':>8}{'-':>8}{'-':>8}"
    tenth = known[min(len(known) - 1, int(0.9 * len(known)))]
    return "".join(f"{value:8.2f}" for value in (median(known), tenth, known[-1]))


def print_table(pieces: Iterable[Piece]) -> None:
    """A line a kind of attack, and the strategies that were trained; ``late`` had ended before."""
    by_name: dict[str, list[Attack]] = defaultdict(list)
    strategies: Counter[str] = Counter()
    for attack in (attack for piece in pieces for attack in piece.attacks):
        by_name[attack.name].append(attack)
        if attack.plan:
            strategies[attack.plan] += 1
    print(f"\n{'':<52}{'detection, s':>24}{'recovery, s':>28}")
    columns = f"{'median':>8}{'90 %':>8}{'most':>8}"
    print(f"{'attack':<34}{'times':>6}{'late':>6}{'wrong':>6}{columns}    {columns}")
    for name, attacks in sorted(by_name.items()):
        found = spread([attack.detection_s for attack in attacks])
        again = spread([attack.recovery_s for attack in attacks])
        num_late = sum(attack.note == TOO_LATE for attack in attacks)
        num_wrong = sum(bool(attack.wrong) for attack in attacks)
        print(f"{name:<34}{len(attacks):>6}{num_late:>6}{num_wrong:>6}{found}    {again}")
    all_of_them = [attack for attacks in by_name.values() for attack in attacks]
    num_wrong = sum(bool(attack.wrong) for attack in all_of_them)
    plans = ", ".join(f"{strategy} {times}" for strategy, times in sorted(strategies.items()))
    print(f"{len(all_of_them)} attacks, {num_wrong} of them wrong; plans: {plans or 'none'}")
