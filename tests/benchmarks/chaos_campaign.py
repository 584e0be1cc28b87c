"""The campaigns: attacks, elections, and runs one after another; see ``chaos.py``."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from signal import Signals

import chaos_left
import chaos_long
from chaos_arenas import NUM_WORKERS, Address, HandMadeArena, OwnArena
from chaos_attacks import ATTACKS, END_OF_ARENA, OWN
from chaos_report import Attack, Piece, merge, print_table, spread, what_is_wrong
from chaos_scene import Calm, Outcome, Scene
from chaos_work import PATIENCE_S, PLANS, preprocess, start_run

NUM_ATTACKS, NUM_ELECTIONS, NUM_RUNS = 200, 100, 100


class Campaign:
    """The arenas, which are started when they are needed, and what was found in them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.arenas: dict[str, OwnArena | HandMadeArena] = {}
        self.ports = chaos_left.ports()  # that may be there
        try:
            self.calm = measure_calm(self.arena(OWN))
        except BaseException:
            self.close()
            raise
        trainings = (f"{plan.strategy} {took:.1f} s" for plan, took in self.calm.seconds.items())
        print(f"undisturbed: {', '.join(trainings)}, preprocessing {self.calm.preprocess_s:.1f} s")

    def arena(self, kind: str) -> OwnArena | HandMadeArena:
        if kind not in self.arenas:
            self.arenas[kind] = OwnArena() if kind == OWN else HandMadeArena()
            self.ports |= chaos_left.ports()
        return self.arenas[kind]

    def close(self) -> None:
        for kind in tuple(self.arenas):
            self.arenas.pop(kind).close()

    def _close(self, kind: str) -> str:
        """Close one arena, which is started anew when it is needed; what went wrong."""
        try:
            self.arenas.pop(kind).close()
        except Exception as error:
            return f"the cluster did not close: {type(error).__name__}: {error}"
        return ""

    def attack(self, number: int) -> Attack:
        """One attack, chosen by its number; what it came to is printed, too."""
        chance = random.Random(f"{self.seed}:{number}")
        name = self._choose(number)
        kind, attack = ATTACKS[name]
        plan = chance.choice(PLANS)
        begun_s, scene = time.monotonic(), None
        try:
            scene = Scene(self.arena(kind), self.calm, plan, chance)
            outcome = attack(scene)
        except Exception as error:  # whatever it is, it is a finding, and the campaign goes on
            outcome = Outcome(f"{type(error).__name__}: {error}".splitlines()[0])
        outcome.wrong = "; ".join(filter(None, (outcome.wrong, self._clear_up(name, kind))))
        seconds = time.monotonic() - begun_s
        said = f"WRONG: {outcome.wrong}" if outcome.wrong else outcome.note or "as expected"
        trained = scene.trained.strategy if scene is not None and scene.trained else ""
        print(f"{number:4} {name:<32} {trained:<9} {seconds:6.1f} s  {said}", flush=True)
        return Attack(number=number, name=name, plan=trained, seconds=seconds, **asdict(outcome))

    def _choose(self, number: int) -> str:
        """Every kind once in as many attacks as there are kinds, each time in another order."""
        names = sorted(ATTACKS)
        turn, place = divmod(number, len(names))
        random.Random(f"{self.seed}:turn {turn}").shuffle(names)
        return names[place]

    def _clear_up(self, name: str, kind: str) -> str:
        """Repair what was hurt; what is left that must not be, in words."""
        found = []
        if name in END_OF_ARENA and kind in self.arenas:  # closing would hide what is not its own
            found += [chaos_left.patiently(self._look_at_processes), self._close(kind)]
        for kind, arena in list(self.arenas.items()):
            try:
                arena.repair()
            except Exception as error:
                found.append(f"the workers did not come back: {type(error).__name__}: {error}")
                found.append(self._close(kind))
        found.append(chaos_left.patiently(self._look))
        if strays := self._strays():
            chaos_left.end_strays(strays)  # or they would be found after every further attack
        self.ports |= self._stray_ports()  # likewise
        return "; ".join(filter(None, found))

    def _strays(self) -> dict[int, str]:
        arenas = list(self.arenas.values())
        folders = [arena.cluster.folder for arena in arenas]
        roots = set().union(*(arena.roots for arena in arenas))
        return chaos_left.strays(folders, roots, NUM_WORKERS)

    def _stray_ports(self) -> set[Address]:
        """Addresses that were not there before, and are of no worker, nanny or store."""
        arenas = self.arenas.values()
        return chaos_left.ports().difference(self.ports, *(arena.addresses for arena in arenas))

    def _look_at_processes(self) -> str:
        found = [f"process {pid}: {command}" for pid, command in self._strays().items()]
        if ports := self._stray_ports():
            found.append(f"ports {chaos_left.who_listens(ports)}")
        return "; ".join(found)

    def _look(self) -> str:
        arenas = list(self.arenas.values())
        folders = [arena.cluster.folder for arena in arenas]
        found = [self._look_at_processes()]
        names: set[str] = set().union(*(arena.names for arena in arenas))
        found.append(chaos_left.stray_folders(names))
        found += [chaos_left.unfinished_files(folder) for folder in folders]
        return "; ".join(filter(None, found))


def measure_calm(arena: OwnArena | HandMadeArena) -> Calm:
    """Train under every plan, and preprocess, without attacks; the second time counts."""
    losses, seconds, cluster = {}, {}, arena.cluster
    start_run(cluster, PLANS[0]).wait(PATIENCE_S)  # prepares the data
    for plan in PLANS:
        begun_s = time.monotonic()
        losses[plan] = start_run(cluster, plan).wait(PATIENCE_S).losses
        seconds[plan] = time.monotonic() - begun_s
    preprocess(cluster)
    begun_s = time.monotonic()
    shards = preprocess(cluster)
    return Calm(
        losses=losses, seconds=seconds, shards=shards, preprocess_s=time.monotonic() - begun_s
    )


def attacks(
    num: int = NUM_ATTACKS, seed: int = 0, first: int = 0, file: Path | None = None
) -> list[str]:
    """A campaign, or a piece of one; what went wrong.

    Args:
        num, seed, first: see above.
        file: where all outcomes are kept, after every attack; ``None`` for nowhere.
    """
    piece = Piece(num=num, seed=seed, first=first)

    def keep() -> None:
        piece.seconds = time.monotonic() - begun_s
        if file is not None:
            piece.write(file)

    begun_s = time.monotonic()
    with _marked() as before:
        keep()  # a file that cannot be written is known before hours have passed
        with contextlib.closing(Campaign(seed)) as campaign:
            for number in range(first, first + num):
                piece.attacks.append(campaign.attack(number))
                keep()
        now = chaos_left.session.There.now
        piece.left = chaos_left.patiently(lambda: now().more_than(before))
    piece.over = True
    keep()
    print_table([piece])
    return what_is_wrong([piece])


def report(files: list[Path]) -> list[str]:
    """What pieces of a campaign found together; what went wrong in them."""
    try:
        pieces = merge(files)
    except ValueError as error:
        sys.exit(str(error))
    print_table(pieces)
    return what_is_wrong(pieces)


def elections(num: int = NUM_ELECTIONS, seed: int = 0) -> list[str]:
    """Leaders killed, and every fifth stopped; what went wrong."""
    import bench_election

    found = bench_election.measure(num, seed)
    print(f"{'leader':<12}{'times':>6}{'median':>8}{'90 %':>8}{'most':>8}  seconds to the next one")
    for how, seconds in found.taken_s.items():
        word = "killed" if how == Signals.SIGKILL else "stopped"
        print(f"{word:<12}{len(seconds):>6}{spread(seconds)}")
    print(f"{found.num_terms} terms")
    wrong = [f"term {term} had two leaders" for term in found.shared]
    return wrong + [f"in term {term} two have committed" for term in found.several]


def long(num: int = NUM_RUNS) -> list[str]:
    """Runs one after another; what has grown."""
    with _marked():
        return chaos_long.main(num)


@contextlib.contextmanager
def _marked() -> Iterator[chaos_left.session.There]:
    """What is there before anything is started; all that is started bears a mark."""
    before = chaos_left.begin()
    try:
        yield before
    finally:
        chaos_left.end()


def main(arguments: list[str], usage: str) -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(
        description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = parser.add_subparsers(required=True)
    for name, campaign, numbers in (
        ("attacks", attacks, {"num": NUM_ATTACKS, "seed": 0, "first": 0}),
        ("elections", elections, {"num": NUM_ELECTIONS, "seed": 0}),
        ("long", long, {"num": NUM_RUNS}),
        ("report", report, {}),
    ):
        command = names.add_parser(name)
        command.set_defaults(campaign=campaign)
        for number, default in numbers.items():
            command.add_argument(number, nargs="?", type=int, default=default)
        if campaign is attacks:
            command.add_argument("--json", dest="file", type=Path)
        elif campaign is report:
            command.add_argument("files", nargs="+", type=Path)
    if not arguments or arguments[0].isdigit() or arguments[0].startswith("--json"):
        arguments = ["attacks", *arguments]
    asked = vars(parser.parse_args(arguments))
    begun_s = time.monotonic()
    wrong = asked.pop("campaign")(**asked)
    print(f"\n{time.monotonic() - begun_s:.0f} s, load average {os.getloadavg()[0]:.1f}")
    for what in wrong:
        print(f"WRONG: {what}")
    return 1 if wrong else 0
