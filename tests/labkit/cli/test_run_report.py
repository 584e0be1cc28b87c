"""What the command line tells of one run."""

from __future__ import annotations

from typing import Any

from labkit.cli.run_report import train_table
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Step


def make_record(**more: Any) -> RunRecord:
    plan = Plan(dp=2)
    return RunRecord(
        run="made", workload={"name": "fruit", "global_batch": 64}, plan=plan.to_dict(),
        strategy="data", world_size=2, planned_steps=2, status="done",
        steps=[Step(0, 0.7, 64, 0.2, 0.2), Step(1, 0.6, 64, 0.2, 0.4)], **more,
    )  # fmt: skip


def test_a_record_shows_formulas_where_they_differ_and_the_ideal() -> None:
    text = train_table(
        make_record(
            comm_bytes={
                "measured": {"comm_dp": 1000, "comm_tp": 50},
                "formula": {"comm_dp": 1000, "comm_tp": 40},
            },
            memory_bytes={"measured": [3e6, 5e6], "formula": [{"parameters": 1e6}]},
            ideal={"step_time_s": 0.1, "speedup": 1.9},
            repeats="earlier",
        )
    )
    assert "comm_dp 1,000 B  comm_tp 50 B (formula 40 B)" in text
    assert "grew by 5.0 MB, formula 1.0 MB" in text
    assert "200 ms, ideal 100 ms (ideal speedup 1.90)" in text
    assert "repeats" in text
    assert "error" not in text


def test_a_failed_record_shows_its_cause() -> None:
    text = train_table(make_record(error="rank 1 raised ValueError"))
    assert "rank 1 raised ValueError" in text
    assert "ideal" not in text


def test_a_record_tells_of_its_checkpoints_and_where_it_went_on_from() -> None:
    written = [
        {"step": 20, "seconds": 0.25, "folder": "c/step-000020", "bytes": 3_000},
        {"step": 40, "seconds": 0.25, "folder": "c/step-000040", "bytes": 3_001},
        {"step": 60, "seconds": 0.1, "error": "No space left on device"},
    ]
    resumed = {"folder": "runs/a/checkpoints/step-000010", "step": 10}
    text = train_table(make_record(checkpoints=written, resumed=resumed))
    assert "2 in 0.50 s, the newest after step 40 (3,001 B); 1 failed: No space left" in text
    assert "went on from" in text
    assert "runs/a/checkpoints/step-000010" in text
    assert "checkpoints" not in train_table(make_record())


def test_a_record_tells_that_it_was_attacked() -> None:
    attacks = [
        {"what": "kill_leader", "target": 1, "at_s": 3.2, "step": 43},
        {"what": "slow_link", "target": "", "at_s": 9.0, "step": 90, "factor": 10, "seconds": 8},
    ]
    record = RunRecord(
        run="r", workload={"name": "digits", "global_batch": 64}, plan=Plan(dp=2).to_dict(),
        strategy="data", world_size=2, planned_steps=50, attacks=attacks,
    )  # fmt: skip
    table = train_table(record)
    assert "3.2 s: you killed rank 1, the leader\n" in table
    assert table.endswith("9.0 s: you slowed the links 10 times for 8 s")


def test_a_record_tells_who_led_its_ranks_term_by_term() -> None:
    first = {
        "term": 1, "rank": 0, "attempt": 0, "elected_at_s": 0.52, "election_s": 0.011,
        "ended": "worker_lost",
    }  # fmt: skip
    second = first | {"term": 2, "rank": 1, "elected_at_s": 3.3, "election_s": 1.204, "ended": ""}
    lines = train_table(make_record(leaders=[first, second])).splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("leader")] == [
        "term 1: rank 0, elected at 0.5 s after 0.01 s without one, until: worker lost",
        "term 2: rank 1, elected at 3.3 s after 1.20 s without one, leads",
    ]
    assert "leader" not in train_table(make_record())


def test_a_record_tells_what_it_went_on_after() -> None:
    entry = {
        "attempt": 1, "cause": "worker_lost", "rank": 1, "why": "its worker was lost", "at_s": 3.25,
        "detection_s": 0.04, "decided_by": "leader", "leader": 0, "term": 2, "recovery_s": None,
        "from_step": 40, "lost_steps": 7, "world_size": 2,
    }  # fmt: skip
    record = RunRecord(
        run="r", workload={"name": "digits", "global_batch": 64}, plan=Plan(dp=2).to_dict(),
        strategy="data", world_size=2, planned_steps=50, recoveries=[entry],
    )  # fmt: skip
    table = train_table(record)
    assert (
        "rank 1 worker lost at 3.2 s (its worker was lost), noticed after 0.04 s, not gone" in table
    )
    assert "decided by rank 0, the leader of term 2" in table
    record.recoveries = [entry | {"recovery_s": 1.5, "decided_by": "client"}]
    table = train_table(record)
    assert (
        "gone on 1.50 s later from step 40; decided by the client, as no leader was left" in table
    )
