"""Errors a user can meet. Each message says what is wrong, with the numbers, and what to do."""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that the lab raises on purpose."""


class PlanError(LabError, ValueError):
    """A plan that cannot run: degrees, schedule or microbatches do not fit."""


class WorkloadError(LabError, ValueError):
    """An unknown workload, or one whose settings do not fit together."""


class SourceError(LabError, ValueError):
    """A data source that cannot be read or does not hold what it should."""


class SettingError(LabError, ValueError):
    """A value out of range: a port that is taken, a count below one, an unknown name."""


class ClusterError(LabError, RuntimeError):
    """The cluster could not start, lost its workers, or is closed."""


class BusyError(ClusterError):
    """Not enough free workers for the ranks that were asked for."""


class RunStopped(LabError, RuntimeError):
    """The run was stopped by its user before it had done a step."""


class RankFailed(LabError, RuntimeError):
    """A rank raised, died or never started; carries the first failing rank's cause.

    Attributes:
        rank: the rank that failed first.
        rank_traceback: its formatted traceback, or the tail of its output when it died.
    """

    def __init__(self, message: str, *, rank: int, rank_traceback: str = "") -> None:
        super().__init__(message)
        self.rank = rank
        self.rank_traceback = rank_traceback
