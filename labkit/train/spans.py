"""Where a rank's time and bytes go: a recorder that costs a fraction of a microsecond a span."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from labkit.runs.record import Span

if TYPE_CHECKING:
    from labkit.train.device_clock import DeviceClock

NO_MICROBATCH = -1


class SpanRecorder:
    """Records one rank's spans, newest last, and the bytes it handed to collectives.

    On a GPU, where kernels run after the call that launched them, spans are the GPU's time: they
    wait for ``settle``, which tells when the GPU began and ended what was launched.

    Attributes:
        now: the clock; seconds since the call of ``train``.
        rank, stage: written into every span.
        step: written into every span; the loop moves it.
        comm_bytes: payload by kind of collective over the whole run, never dropped.
        capacity: spans that are kept; older ones are dropped, so that a long run stays small.
        clock: of the GPU; ``None`` on a CPU. Where there is one, ``now`` has to be it.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        rank: int,
        stage: int = 0,
        capacity: int = 20_000,
        clock: DeviceClock | None = None,
    ) -> None:
        self.now = now
        self.clock = clock
        self.rank = rank
        self.stage = stage
        self.step = 0
        self.comm_bytes: dict[str, int] = {}
        self.capacity = capacity
        self._spans: deque[Span] = deque(maxlen=capacity)
        self._unsettled: list[tuple[Span, float]] = []  # with the end of each
        self._num_recorded = 0
        self._num_taken = 0

    def add(
        self,
        kind: str,
        name: str,
        start_s: float,
        *,
        end_s: float | None = None,
        microbatch: int = NO_MICROBATCH,
        num_bytes: int = 0,
        stage: int | None = None,
    ) -> None:
        """Record a stretch that began at ``start_s`` and ends at ``end_s``, or now.

        ``stage`` is for ranks that hold several stages of a pipeline.
        """
        ended_s = self.now() if end_s is None else end_s
        span = Span(
            self.rank,
            self.stage if stage is None else stage,
            kind,
            name,
            start_s,
            ended_s - start_s,
            microbatch,
            num_bytes,
            self.step,
        )
        if self.clock is None:
            self._spans.append(span)
            self._num_recorded += 1
        else:
            self._unsettled.append((span, ended_s))

    def settle(self) -> None:
        """On a GPU, wait until it is idle and keep the spans so far by its own time."""
        if self.clock is None:
            return
        self.clock.settle()
        waiting, self._unsettled = self._unsettled, []
        for span, ended_s in waiting:
            start_s, end_s = self.clock.when_passed(span.start_s), self.clock.when_passed(ended_s)
            duration_s = max(0.0, end_s - start_s)  # the two marks may be on different streams
            self._spans.append(span._replace(start_s=start_s, duration_s=duration_s))
        self._num_recorded += len(waiting)

    def forget(self) -> None:
        """Begin anew: what was recorded was not training."""
        self._spans.clear()
        self._unsettled.clear()
        self._num_recorded = self._num_taken = 0
        self.comm_bytes.clear()

    def count_bytes(self, kind: str, num_bytes: int) -> None:
        """Add payload that was handed to a collective."""
        self.comm_bytes[kind] = self.comm_bytes.get(kind, 0) + num_bytes

    @contextmanager
    def span(
        self, kind: str, name: str, microbatch: int = NO_MICROBATCH, *, stage: int | None = None
    ) -> Iterator[None]:
        """Record the time of a ``with`` block; nothing is recorded when it raises."""
        start_s = self.now()
        yield
        self.add(kind, name, start_s, microbatch=microbatch, stage=stage)

    @property
    def spans(self) -> list[Span]:
        """All spans that are kept, oldest first."""
        if self._unsettled:
            self.settle()
        return list(self._spans)

    @property
    def num_dropped(self) -> int:
        """Spans that were recorded but are no longer kept."""
        return self._num_recorded - len(self._spans)

    def take_new(self, limit: int) -> list[Span]:
        """The newest spans since the last call, at most ``limit``, oldest first."""
        num_new = min(self._num_recorded - self._num_taken, limit, len(self._spans))
        self._num_taken = self._num_recorded
        return list(islice(reversed(self._spans), num_new))[::-1]
