"""What a record says of the failures that its run went on after, and of the ranks' leaders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.cluster.blame import Failure
    from labkit.cluster.gang import Gang

Entry = dict[str, Any]


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
