"""What a record says of the failures that its run went on after, and of the ranks' leaders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.cluster.blame import Failure
    from labkit.cluster.gang import Gang
    from labkit.runs.record import RunRecord
    from labkit.train.job import TrainJob

Entry = dict[str, Any]


def note_event(record: RunRecord, rank: int, event: Entry, attempt: int, wall_s: float) -> None:
    """Take from an event of a rank what it says of leaders and of a recovery; hold the lock.

    Args:
        record: of the run.
        rank, event: of the ranks that run now.
        attempt: theirs.
        wall_s: now, seconds since the call that started the run.
    """
    kind = event["type"]
    if kind == "leader":
        record.leaders.append(leader_entry(rank, event, attempt))
    elif kind == "leader_end":
        for leader in record.leaders:
            if leader["term"] == event["term"]:
                leader["ended"] = leader["ended"] or event["why"]
    elif kind == "steps":
        note_gone_on(record, wall_s)


def note_gone_on(record: RunRecord, wall_s: float) -> None:
    """A step is done, or the run with none left to do: it has gone on. Hold the lock."""
    if record.recoveries and record.recoveries[-1]["recovery_s"] is None:
        record.recoveries[-1]["recovery_s"] = wall_s - record.recoveries[-1]["at_s"]


def num_known(record: RunRecord, job: TrainJob) -> int:
    """Steps that are done as far as the record knows; hold the lock."""
    return record.steps[-1].step + 1 if record.steps else job.start_step


def note_restart(
    record: RunRecord, gang: Gang, failure: Failure, attempt: int, job: TrainJob
) -> None:
    """A run goes on: its record goes back to where the next attempt begins. Hold the lock.

    Args:
        record: of the run.
        gang, failure: that failed.
        attempt: number of the next one, and so of the restarts.
        job: of the next one.
    """
    first = job.start_step
    entry = recovery_entry(gang, failure, attempt)
    entry |= {"from_step": first, "lost_steps": num_known(record, job) - first}
    entry["world_size"] = job.plan.world_size
    end_leaders(record.leaders, attempt - 1, "attempt ended", failure)
    record.restarts = attempt
    record.recoveries.append(entry)
    record.steps = [step for step in record.steps if step.step < first]
    record.spans = [span for span in record.spans if span.step < first]


def recovery_entry(gang: Gang, failure: Failure, attempt: int) -> Entry:
    """One of ``RunRecord.recoveries``, without what the next attempt adds.

    Args:
        gang: that failed.
        failure: of it.
        attempt: number of the next one.
    """
    noticed_s, decision = gang.progress.noticed_s, gang.progress.decision
    return {
        "attempt": attempt,
        "cause": failure.cause,
        "rank": failure.rank,
        "why": failure.why.partition("\n")[0],
        "at_s": noticed_s - gang.origin_s,
        "detection_s": max(0.0, noticed_s - failure.at_s),
        "decided_by": "client" if decision is None else "leader",
        "leader": None if decision is None else decision["rank"],
        "term": None if decision is None else decision["term"],
        "recovery_s": None,
    }


def leader_entry(rank: int, event: Entry, attempt: int) -> Entry:
    """One of ``RunRecord.leaders``, from the event of a rank that was elected."""
    return {
        "term": event["term"],
        "rank": rank,
        "attempt": attempt,
        "elected_at_s": event["at_s"],
        "election_s": event["election_s"],
        "ended": "",
    }


def end_leaders(leaders: Iterable[Entry], attempt: int, why: str, failure: Failure | None) -> None:
    """An attempt is over: its leaders have ended, the failed rank by the failure."""
    for leader in leaders:
        if leader["attempt"] == attempt:
            if failure is not None and leader["rank"] == failure.rank:
                leader["ended"] = failure.cause
            leader["ended"] = leader["ended"] or why


def describe_recovery(entry: Entry) -> str:
    """In words: what failed, how soon that was noticed and made good, and who decided how."""
    by = "the client, as no leader was left"
    if entry["decided_by"] == "leader":
        by = f"rank {entry['leader']}, the leader of term {entry['term']}"
    went_on = "not gone on yet"
    if entry["recovery_s"] is not None:
        went_on = f"gone on {entry['recovery_s']:.2f} s later from step {entry['from_step']}"
    return (
        f"rank {entry['rank']} {entry['cause'].replace('_', ' ')} at {entry['at_s']:.1f} s "
        f"({entry['why']}), noticed after {entry['detection_s']:.2f} s, {went_on}; decided by {by}"
    )
