"""Which rank failed first, when one failure has made all the others fail, and in which way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.errors import RankFailed

if TYPE_CHECKING:
    from labkit.cluster.rank_owner import RankEnd

Cause = Literal[
    "raised",
    "died",
    "worker_lost",
    "stopped",
    "hung",
    "peers_lost",
    "store_lost",
    "not_started",
]

# What a rank raises because another rank has gone; never the cause when there is a better one.
PEER_ERRORS = ("DistBackendError", "DistNetworkError", "Connection", "gloo", "NCCL", "Socket")

_VERBS: dict[Cause, str] = {
    "raised": "failed",
    "died": "died",
    "worker_lost": "died",
    "stopped": "was stopped",
    "hung": "hung",
    "peers_lost": "lost the other ranks",
    "store_lost": "lost the rendezvous store",
    "not_started": "did not start",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt at a run failed.

    Attributes:
        cause: ``raised`` (an error of the rank's own program), ``died`` (its process),
            ``worker_lost`` (with the process), ``stopped`` (suspended by a signal), ``hung``,
            ``peers_lost`` (connections broke, and every process is there), ``store_lost``,
            ``not_started``.
        rank: the first that failed, or that the others waited for.
        why: one line.
        detail: its traceback, or the tail of its output.
        at_s: wall clock of the failure, as near as it is known.
    """

    cause: Cause
    rank: int
    why: str
    detail: str = ""
    at_s: float = 0.0

    @property
    def is_recoverable(self) -> bool:
        """Whether another attempt may go better: the program itself raises again and again."""
        return self.cause != "raised"

    def to_error(self) -> RankFailed:
        """As what the user catches."""
        message = f"rank {self.rank} {_VERBS[self.cause]}: {self.why}"
        if self.detail.strip():
            message += "\n\n" + self.detail.strip()
        return RankFailed(message, rank=self.rank, rank_traceback=self.detail)


def follows_another(error: str) -> bool:
    """Whether an error, as ``Type: text``, is what a rank raises when another one has gone."""
    return any(word in error for word in PEER_ERRORS)


def waited_in_vain(error: str) -> bool:
    """Whether an error of a collective says that it took too long, and not that nobody is there."""
    said = error.lower()
    return ("timed out" in said or "timeout caused" in said) and "connect" not in said


def first_failure(ends: Iterable[RankEnd]) -> Failure | None:
    """The cause: a rank that died, else the first with an error of its own; none if all are done.

    When a rank goes, its peers raise too because their connections break; those come last.
    """
    failed = [end for end in ends if end.status != "done"]
    if not failed:
        return None

    def blame(end: RankEnd) -> tuple[int, float]:
        follows = end.status == "error" and follows_another(end.error)
        aborted = "SIGABRT" in end.error  # as gloo does when another rank has raised and gone
        died = end.status == "died" and not aborted
        return (2 if follows else 0 if died else 1, end.at_s)

    end = min(failed, key=blame)
    cause: Cause = "worker_lost" if end.worker_lost else "died"
    if end.status == "error":
        cause = "peers_lost" if follows_another(end.error) else "raised"
    return Failure(
        cause=cause,
        rank=end.rank,
        why=end.error,
        detail=end.traceback or end.output,
        at_s=end.at_s,
    )
