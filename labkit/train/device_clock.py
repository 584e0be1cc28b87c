"""When a GPU did what the host asked of it: a clock that puts marks into the GPU's own queue.

Kernels run after the call that launched them, so the host's time around a forward says little.
Each reading of this clock also records a CUDA event, which the GPU passes when it has done all that
was launched before. Once the GPU is idle, each reading is moved to when its event was passed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


class DeviceClock:
    """The host's clock, with a mark on the current CUDA stream for every reading.

    Args:
        now: the host's clock, seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.host_now = now
        self._marks: dict[float, torch.cuda.Event] = {}
        self._passed_s: dict[float, float] = {}
        self._spare: list[torch.cuda.Event] = []
        torch.cuda.synchronize()
        self._base, self._base_s = self._mark()

    def __call__(self) -> float:
        """The host's time now; ``when_passed`` tells later when the GPU got to this point."""
        event, now_s = self._mark()
        self._marks[now_s] = event
        return now_s

    def _mark(self) -> tuple[torch.cuda.Event, float]:
        event = self._spare.pop() if self._spare else _new_event()
        event.record()
        return event, self.host_now()

    def settle(self) -> None:
        """Wait until the GPU is idle, and learn when it passed each mark since the last time."""
        torch.cuda.synchronize()
        marks, self._marks = self._marks, {}
        # One that another thread has just set may not be passed yet.
        self._passed_s = {
            now_s: self._base_s + self._base.elapsed_time(event) / 1e3
            for now_s, event in marks.items()
            if event.query()  # type: ignore[no-untyped-call]
        }
        # Elapsed time is a float of milliseconds, so the base stays near.
        self._spare += [*marks.values(), self._base]
        self._base, self._base_s = self._mark()

    def when_passed(self, now_s: float) -> float:
        """When the GPU had done what was launched before a reading; the reading if it is none."""
        return max(now_s, self._passed_s.get(now_s, now_s))


def _new_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
