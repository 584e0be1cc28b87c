"""Kills and stops at random moments, and whether the lab went on as it promises.

    python tests/benchmarks/chaos.py [NUM] [SEED] [FIRST]   attacks (200), from number FIRST on
    python tests/benchmarks/chaos.py elections [NUM] [SEED] leaders that are killed (100)
    python tests/benchmarks/chaos.py long [NUM]             runs one after another (100)

Each attack has a generator of its own, from the seed and its number: ``chaos.py 1 SEED FIRST``
repeats one. ``NUM`` at least the number of kinds of attacks makes each of them happen. Exit status
1 when anything was not as it has to be.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from signal import Signals
from statistics import median

# Dask is loud about workers that die, here and in every process that is started.
os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"

import chaos_left
import chaos_long
from chaos_arenas import NUM_WORKERS, HandMadeArena, OwnArena
from chaos_attacks import ATTACKS, END_OF_ARENA, OWN, Calm, Outcome, Scene
from chaos_work import PATIENCE_S, PLANS, preprocess, start_run

NUM_ATTACKS, NUM_ELECTIONS, NUM_RUNS = 200, 100, 100
Results = dict[str, list[Outcome]]


class Campaign:
    """The arenas, which are started when they are needed, and what was found in them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.arenas: dict[str, OwnArena | HandMadeArena] = {}
        self.results: Results = defaultdict(list)
        self.num_ports = 0
        self.calm = measure_calm(self.arena(OWN))

    def arena(self, kind: str) -> OwnArena | HandMadeArena:
        if kind not in self.arenas:
            self.arenas[kind] = OwnArena() if kind == OWN else HandMadeArena()
            self.num_ports = chaos_left.num_ports()
        return self.arenas[kind]

    def close(self, *kinds: str) -> None:
        for kind in kinds or tuple(self.arenas):
            if kind in self.arenas:
                self.arenas.pop(kind).close()
                self.num_ports = chaos_left.num_ports()

    def attack(self, number: int) -> None:
        """One attack, chosen by its number; what it came to is kept and printed."""
        chance = random.Random(f"{self.seed}:{number}")
        name = self._choose(number)
        kind, attack = ATTACKS[name]
        plan = chance.choice(PLANS)
        begun_s = time.monotonic()
        scene = Scene(self.arena(kind), self.calm, plan, chance)
        try:
            outcome = attack(scene)
        except Exception as error:  # whatever it is, it is a finding, and the campaign goes on
            outcome = Outcome(f"{type(error).__name__}: {error}".splitlines()[0])
        outcome.wrong = outcome.wrong or self._clear_up(name, kind)
        self.results[name].append(outcome)
        said = outcome.wrong or outcome.note or "as expected"
        print(
            f"{number:4} {name:<32} {plan.strategy:<9} {time.monotonic() - begun_s:6.1f} s  "
            f"{'WRONG: ' if outcome.wrong else ''}{said}",
            flush=True,
        )

    def _choose(self, number: int) -> str:
        """Every kind once in as many attacks as there are kinds, each time in another order."""
        names = sorted(ATTACKS)
        turn, place = divmod(number, len(names))
        random.Random(f"{self.seed}:turn {turn}").shuffle(names)
        return names[place]

    def _clear_up(self, name: str, kind: str) -> str:
        """Repair what was hurt; what is left that must not be, in words."""
        if name in END_OF_ARENA:
            self.close(kind)
        try:
            for arena in self.arenas.values():
                arena.repair()
        except Exception as error:
            self.close(kind)
            return f"the workers did not come back: {type(error).__name__}: {error}"
        return chaos_left.patiently(self._look)

    def _look(self) -> str:
        arenas = list(self.arenas.values())
        folders = [arena.cluster.folder for arena in arenas]
        roots = set().union(*(arena.roots for arena in arenas))
        found = [chaos_left.strays(folders, roots, NUM_WORKERS)]
        ports = chaos_left.num_ports()
        if ports > self.num_ports:
            found.append(f"{ports - self.num_ports} ports more than before")
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


def spread(values: Sequence[float | None]) -> str:
    """Median, the value that nine of ten stay below, and the largest, in seconds."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return f"{'-':>8}{'-':>8}{'-':>8}"
    tenth = known[min(len(known) - 1, int(0.9 * len(known)))]
    return "".join(f"{value:8.2f}" for value in (median(known), tenth, known[-1]))


def print_table(results: Results) -> None:
    """A line a kind of attack."""
    print(f"\n{'':<40}{'detection, s':>24}{'recovery, s':>28}")
    columns = f"{'median':>8}{'90 %':>8}{'most':>8}"
    print(f"{'attack':<34}{'times':>6}{columns}    {columns}")
    for name, outcomes in sorted(results.items()):
        found = [outcome.detection_s for outcome in outcomes]
        again = [outcome.recovery_s for outcome in outcomes]
        print(f"{name:<34}{len(outcomes):>6}{spread(found)}    {spread(again)}")


def attacks(num: int = NUM_ATTACKS, seed: int = 0, first: int = 0) -> list[str]:
    """The campaign; what went wrong."""
    before = chaos_left.begin()
    campaign = None
    try:
        campaign = Campaign(seed)
        for number in range(first, first + num):
            campaign.attack(number)
    finally:
        if campaign is not None:
            campaign.close()
    left = chaos_left.patiently(lambda: chaos_left.session.There.now().more_than(before))
    chaos_left.end()
    print_table(campaign.results)
    flat = [(name, one.wrong) for name, many in campaign.results.items() for one in many]
    wrong = [f"{name}: {what}" for name, what in flat if what]
    return wrong + ([f"left behind in the end: {left}"] if left else [])


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
def _marked() -> Iterator[None]:
    chaos_left.begin()
    try:
        yield
    finally:
        chaos_left.end()


def main(arguments: list[str]) -> int:
    """Run what was asked for; the exit status."""
    campaigns = {"attacks": attacks, "elections": elections, "long": long}
    name = arguments.pop(0) if arguments and not arguments[0].isdigit() else "attacks"
    if name not in campaigns or not all(argument.isdigit() for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    begun_s = time.monotonic()
    wrong = campaigns[name](*map(int, arguments))
    print(f"\n{time.monotonic() - begun_s:.0f} s, load average {os.getloadavg()[0]:.1f}")
    for what in wrong:
        print(f"WRONG: {what}")
    if wrong:
        seed = arguments[1] if len(arguments) > 1 else "0"
        print(f"to repeat it: chaos.py {name} with the same numbers; seed {seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
