"""What a function sees of its surroundings while it runs as one rank of a gang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class RankContext:
    """Handed as the first argument to every function that runs on ranks.

    The default process group of ``torch.distributed`` is already initialised.

    Attributes:
        run: identifier of the gang.
        rank, world_size: place in the gang.
        local_rank: place among the gang's ranks on this host.
        device: ``"cpu"``, or ``"cuda:0"``: a rank sees only its own GPU.
        backend: ``"gloo"`` or ``"nccl"``.
        gpu: index or UUID of the worker's GPU, as the driver knows it; empty on a CPU worker.
        origin_s: wall clock (``time.time``) of the call that started the run.
        send: hands one live event to the client, batched and bounded; never blocks.
        stop_flag: set when the user pressed Stop.
        commit: notes something as done for all ranks, see ``Member.commit``; ``None`` without a
            leader.
        doing: what the program does instead of steps, such as writing a checkpoint; empty while
            steps go on. A run is not taken to hang meanwhile.
    """

    run: str
    rank: int
    world_size: int
    local_rank: int
    device: str
    backend: str
    origin_s: float
    send: Callable[[dict[str, Any]], None]
    gpu: str = ""
    stop_flag: threading.Event = field(default_factory=threading.Event)
    commit: Callable[[str], bool] | None = None
    doing: str = ""
    _link_factor: float = 1.0
    _link_slow_until_s: float = 0.0
    _clock_offset_s: float = 0.0

    def __post_init__(self) -> None:
        self._clock_offset_s = time.time() - time.perf_counter() - self.origin_s

    def now(self) -> float:
        """Seconds since the call that started the run; monotonic within a rank."""
        return time.perf_counter() + self._clock_offset_s

    def emit(self, event: dict[str, Any]) -> None:
        """Send a live event (small, picklable) to the client; order is kept per rank."""
        self.send(event)

    def may_finish(self, what: str) -> bool:
        """Whether this rank finishes something for all: the leader; rank 0 where none is elected.

        Args:
            what: the name of it, such as ``step-000040``; kept for later leaders.
        """
        return self.rank == 0 if self.commit is None else self.commit(what)

    @property
    def link_factor(self) -> float:
        """How many times slower than declared links are now; 1.0 unless somebody slowed them."""
        return self._link_factor if time.monotonic() < self._link_slow_until_s else 1.0

    def slow_link(self, factor: float, seconds: float) -> None:
        """Let declared links carry 1/factor of their bytes a second, for so long on the wall."""
        self._link_factor = factor
        self._link_slow_until_s = time.monotonic() + seconds

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked this run to stop; ranks must agree before they act on it."""
        return self.stop_flag.is_set()
