"""Which rank failed first, when one failure has made all the others fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import RankFailed, RunStopped

if TYPE_CHECKING:
    from labkit.cluster.rank_owner import RankEnd

# What a rank raises because another rank has gone; never the cause when there is a better one.
PEER_ERRORS = ("DistBackendError", "DistNetworkError", "Connection", "gloo", "NCCL", "Socket")


def first_failure(ends: list[RankEnd], stopping: bool, run: str) -> Exception | None:
    """The error that names the cause: a rank that died, else the first with an error of its own.

    When a rank goes, its peers raise too because their connections break; those come last.
    """
    failed = [end for end in ends if end.status != "done"]
    if not failed:
        return None
    if stopping:
        return RunStopped(f"run {run} was stopped")

    def blame(end: RankEnd) -> tuple[int, float]:
        follows = end.status == "error" and any(word in end.error for word in PEER_ERRORS)
        return (2 if follows else 0 if end.status == "died" else 1, end.at_s)

    end = min(failed, key=blame)
    verb = "died" if end.status == "died" else "failed"
    detail = end.traceback or end.output
    message = f"rank {end.rank} {verb}: {end.error}"
    if detail.strip():
        message += "\n\n" + detail.strip()
    return RankFailed(message, rank=end.rank, rank_traceback=detail)
