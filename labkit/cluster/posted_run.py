"""What is said of a run on its scheduler's board: plain values; see ``run_board``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

FoundStatus = Literal["waiting", "starting", "running", "done", "stopped", "failed"]
ENDED: tuple[FoundStatus, ...] = ("done", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedRun:
    """What the owner of a run notes of it: when it begins, starts again, and ends.

    Attributes:
        run: its identifier.
        client: identifier of the owner's Dask client.
        topic: to which its ranks' events go; also the name of the plugin that owns the ranks.
        host, pid, user: of the owner's process.
        since_s: wall clock of the call of ``train``.
        start_step: of its training; above 0 where it went on from a checkpoint.
        prepared: whether its data and profile are there, so that its ranks are what waits.
        status, error: of the record once it has ended; an empty status before.
        record: the run's record without spans and load, as compressed JSON; see ``posting``.
    """

    run: str
    client: str
    topic: str
    host: str
    pid: int
    user: str
    since_s: float
    kind: str
    workload: str
    strategy: str
    world_size: int
    planned_steps: int
    start_step: int
    restarts: int
    prepared: bool
    status: Literal["", "done", "stopped", "failed"] = ""
    error: str = ""
    record: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run as any client of its scheduler finds it.

    Attributes:
        run: its identifier.
        status: ``waiting`` in the line for workers, ``starting``, ``running``, or how it ended.
        kind: measured or emulated.
        workload, strategy, world_size: what, how it is split, over how many ranks.
        step, planned_steps: steps done, as far as the ranks have reported, and in all; 0 in all
            where that is not known yet.
        position: place in the line while it waits, 1 for who is next; else 0.
        workers: addresses by rank, once it has them.
        host, pid, user: of the process that started it.
        since_s: wall clock of its call of ``train``.
        restarts: how often it went on after a failure.
        error: why it failed, or was stopped before it had done a step.
        topic, gang: of its ranks' events, and which of its attempts has the workers.
    """

    run: str
    status: FoundStatus
    kind: str
    workload: str
    strategy: str
    world_size: int
    step: int
    planned_steps: int
    position: int
    workers: tuple[str, ...]
    host: str
    pid: int
    user: str
    since_s: float
    restarts: int
    error: str
    topic: str
    gang: str

    @property
    def ended(self) -> bool:
        """Whether it is over, in whichever way."""
        return self.status in ENDED

    def to_json(self) -> dict[str, Any]:
        """The entry of ``labkit runs live --json``."""
        inner = ("topic", "gang")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in inner}
