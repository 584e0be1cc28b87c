"""What happened to a run, in sentences: what was done to it, when it was noticed and mended."""

from __future__ import annotations

from itertools import takewhile
from statistics import median
from typing import Any

from labkit.runs.record import RunRecord, Step

KILLS = ("kill_rank", "kill_leader", "kill_worker")
STEPS_BEFORE = 5
MATCH_S = 15.0  # a failure that is noticed later is another one

Entry = dict[str, Any]


def tell(record: RunRecord) -> list[str]:
    """One sentence for each attack and each recovery, oldest first.

    A kill and the recovery that followed from it are one sentence.
    """
    left = list(record.recoveries)
    told: list[tuple[float, str]] = []
    for attack in record.attacks:
        entry = None
        if attack["what"] in KILLS:
            entry = next((each for each in left if _follows(each, attack)), None)
        if entry is not None:
            left.remove(entry)
        told.append((attack["at_s"], _tell_attack(attack, entry, record)))
    told += [(entry["at_s"], _tell_failure(entry, record)) for entry in left]
    return [sentence for _, sentence in sorted(told)]


def _follows(entry: Entry, attack: Entry) -> bool:
    """Whether a recovery is from what an attack did."""
    if not 0 <= entry["at_s"] - attack["at_s"] < MATCH_S:
        return False
    if attack["what"] == "kill_worker":
        return entry["cause"] in ("worker_lost", "store_lost", "died", "peers_lost")
    return bool(entry["rank"] == attack["target"])


def describe_attack(attack: Entry) -> str:
    """When and what was done to a run, without what followed."""
    at = f"{attack['at_s']:.1f} s: you "
    if attack["what"] not in KILLS:
        whom = "the links" if attack["what"] == "slow_link" else f"rank {attack['target']}"
        how = f"{attack['factor']:g} times for {attack['seconds']:g} s"
        if "bytes_per_s" in attack:
            how += f", to {attack['bytes_per_s'] / 1e6:.3g} MB/s"
        return f"{at}slowed {whom} {how}"
    whom = {
        "kill_rank": f"rank {attack['target']}",
        "kill_leader": f"rank {attack['target']}, the leader",
        "kill_worker": f"worker {attack['target']}",
    }[attack["what"]]
    return f"{at}killed {whom}"


def _tell_attack(attack: Entry, entry: Entry | None, record: RunRecord) -> str:
    done = f"{describe_attack(attack)}."
    if attack["what"] not in KILLS:
        return done + _effect(attack, record)
    if entry is None:
        return done
    noticed = f" Noticed after {entry['at_s'] - attack['at_s']:.2f} s"
    return f"{done}{noticed}; {_tell_rest(entry, record)}."


def _tell_failure(entry: Entry, record: RunRecord) -> str:
    """A failure that nobody here made."""
    what = entry["cause"].replace("_", " ")
    return (
        f"{entry['at_s']:.1f} s: rank {entry['rank']} {what} ({entry['why']}). Noticed after "
        f"{entry['detection_s']:.2f} s; {_tell_rest(entry, record)}."
    )


def _tell_rest(entry: Entry, record: RunRecord) -> str:
    """Who was elected, who decided, and when it went on."""
    said = []
    elected = [
        leader
        for leader in record.leaders
        if leader["attempt"] == entry["attempt"] - 1
        and leader["term"] == entry["term"]
        and leader["elected_at_s"] > entry["at_s"] - entry["detection_s"]
    ]
    if elected:
        one = elected[-1]
        said.append(
            f"rank {one['rank']} elected for term {one['term']} after {one['election_s']:.2f} s "
            "without a leader"
        )
    elif entry["decided_by"] == "client":
        said.append("no leader was left, so the notebook decided")
    if entry["recovery_s"] is None:
        said.append("not going on yet")
    else:
        lost = entry["lost_steps"]
        again = f"{lost} {'step' if lost == 1 else 'steps'} done again"
        ranks = f" with {entry['world_size']} ranks" if "world_size" in entry else ""
        said.append(
            f"going on after {entry['recovery_s']:.2f} s from step {entry['from_step']}{ranks} "
            f"({again}){_tell_next(entry, record)}"
        )
    return "; ".join(said)


def _tell_next(entry: Entry, record: RunRecord) -> str:
    """Whom the fresh ranks elected, once they have."""
    leaders = [leader for leader in record.leaders if leader["attempt"] == entry["attempt"]]
    if not leaders:
        return ""
    return f", led by rank {leaders[0]['rank']} (term {leaders[0]['term']})"


def _effect(attack: Entry, record: RunRecord) -> str:
    """How long a step took before a slowdown and during it, as far as both are known."""
    before = [s for s in record.steps if s.step < attack["step"]][-STEPS_BEFORE:]
    during = _during(attack, record)
    if not before or not during:
        return ""
    was, became = median(s.seconds for s in before), median(s.seconds for s in during)
    clock = " of the device" if record.kind == "emulated" else ""
    return f" A step took {_said(was)}{clock} before, {_said(became)} during it."


def _said(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _during(attack: Entry, record: RunRecord) -> list[Step]:
    """Steps that were done during a slowdown: those that end within its seconds on the wall.

    The first is left out: it had begun before.
    """
    scale = record.emulation.get("time_scale") or 1.0
    later = [s for s in record.steps if s.step > attack["step"]]
    start_s = later[0].end_s - later[0].seconds if later else 0.0
    return list(takewhile(lambda s: (s.end_s - start_s) * scale <= attack["seconds"], later))
