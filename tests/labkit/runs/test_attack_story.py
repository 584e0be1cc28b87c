"""What happened to a run, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.runs.attack_story import tell
from labkit.runs.record import RunRecord, Step

Make = Callable[..., RunRecord]
STEPS = [Step(n, 0.5, 64, 0.1 if n < 5 else 0.4, 0.0) for n in range(10)]
AT_S = [sum(step.seconds for step in STEPS[: n + 1]) for n in range(10)]
TIMED = [step._replace(end_s=at_s) for step, at_s in zip(STEPS, AT_S, strict=True)]


def recovery(**more: Any) -> dict[str, Any]:
    """A rank that died and was replaced."""
    return {
        "attempt": 1, "cause": "died", "rank": 1, "why": "killed by SIGKILL", "at_s": 3.25,
        "detection_s": 0.01, "decided_by": "leader", "leader": 0, "term": 1, "recovery_s": 0.8,
        "from_step": 40, "lost_steps": 3, "world_size": 2,
    } | more  # fmt: skip


def kill(what: str = "kill_rank", target: int | str = 1, at_s: float = 3.2) -> dict[str, Any]:
    return {"what": what, "target": target, "at_s": at_s, "step": 43}


def test_a_kill_and_what_followed_are_one_sentence(make_run: Make) -> None:
    record = make_run(attacks=[kill()], recoveries=[recovery()])
    assert tell(record) == [
        "3.2 s: you killed rank 1. Noticed after 0.05 s; going on after 0.80 s from step 40 with 2 "
        "ranks (3 steps done again)."
    ]


def test_a_dead_leader_is_followed_by_an_election(make_run: Make) -> None:
    leaders = [
        {"term": 1, "rank": 1, "attempt": 0, "elected_at_s": 0.1, "election_s": 0.0},
        {"term": 2, "rank": 0, "attempt": 0, "elected_at_s": 4.0, "election_s": 0.75},
        {"term": 3, "rank": 1, "attempt": 1, "elected_at_s": 4.1, "election_s": 0.0},
    ]
    entry = recovery(term=2, lost_steps=1)
    record = make_run(attacks=[kill("kill_leader")], recoveries=[entry], leaders=leaders)
    (said,) = tell(record)
    assert said.startswith("3.2 s: you killed rank 1, the leader. Noticed after 0.05 s; rank 0 ")
    assert "elected for term 2 after 0.75 s without a leader; going on" in said
    assert said.endswith("(1 step done again), led by rank 1 (term 3).")


def test_a_killed_worker_takes_the_store_with_it(make_run: Make) -> None:
    entry = recovery(cause="worker_lost", rank=0, decided_by="client", leader=None, term=None)
    (said,) = tell(make_run(attacks=[kill("kill_worker", "7")], recoveries=[entry]))
    assert "you killed worker 7. Noticed" in said
    assert "no leader was left, so the notebook decided" in said


def test_a_failure_that_nobody_here_made_has_its_own_sentence(make_run: Make) -> None:
    record = make_run(attacks=[kill(target=0)], recoveries=[recovery(recovery_s=None)])
    assert tell(record) == [
        "3.2 s: you killed rank 0.",
        "3.2 s: rank 1 died (killed by SIGKILL). Noticed after 0.01 s; not going on yet.",
    ]


def test_a_slowdown_is_told_with_its_effect(make_run: Make) -> None:
    slow = {"what": "slow_rank", "target": 1, "at_s": 0.5, "step": 4, "factor": 4, "seconds": 8}
    (said,) = tell(make_run(attacks=[slow], steps=TIMED))
    assert said == (
        "0.5 s: you slowed rank 1 4 times for 8 s. A step took 100 ms before, 400 ms during it."
    )
    assert tell(make_run(attacks=[slow], steps=TIMED[:5])) == [
        "0.5 s: you slowed rank 1 4 times for 8 s."
    ]


def test_steps_after_a_slowdown_do_not_count_and_an_emulated_step_is_the_devices(
    make_run: Make,
) -> None:
    slow = {"what": "slow_link", "target": "", "at_s": 0.5, "step": 4, "factor": 9, "seconds": 4.1}
    later = [*TIMED[:6], *(step._replace(seconds=9.0) for step in TIMED[6:])]
    emulation = {"device": "demo", "time_scale": 10.0}
    record = make_run(attacks=[slow], steps=later, kind="emulated", emulation=emulation)
    assert tell(record) == [
        "0.5 s: you slowed the links 9 times for 4.1 s. A step took 100 ms of the device before, "
        "400 ms during it."
    ]
    real = make_run(attacks=[slow | {"bytes_per_s": 5_250_000}])
    assert tell(real) == ["0.5 s: you slowed the links 9 times for 4.1 s, to 5.25 MB/s."]
