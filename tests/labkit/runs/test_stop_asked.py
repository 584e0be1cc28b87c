"""A run that is waited for and may be stopped: what it fails with, and stops that take too long."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from labkit.errors import RankFailed, RunStopped
from labkit.runs import stop_asked
from labkit.runs.stop_asked import wait_unless_asked

RECORD = object()


class LiveRun:
    """Ends with ``end`` after so many looks, or once it was stopped; ``None`` never ends."""

    run = "r"

    def __init__(
        self, end: object, looks: float = 3, after_stop: object = RunStopped("it was")
    ) -> None:
        self.end, self.looks, self.after_stop = end, looks, after_stop
        self.stopped = False

    @property
    def done(self) -> bool:
        return self.looks <= 0

    def stop(self) -> None:
        self.stopped, self.end, self.looks = True, self.after_stop, 0

    def wait(self, timeout_s: float | None = None) -> Any:
        self.looks -= 1
        if self.looks > 0 or self.end is None:
            raise TimeoutError("run r has not ended within 0 s; it goes on")
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


@pytest.fixture
def asked() -> Any:
    """Says no twice, then yes."""
    answers = itertools.chain([False, False], itertools.repeat(True))
    return lambda: next(answers)


def wait(run: LiveRun, *args: Any, **settings: Any) -> Any:
    anything: Any = run
    return wait_unless_asked(anything, *args, **settings)


def test_a_run_that_is_left_alone_is_waited_for_to_its_end() -> None:
    looks: list[int] = []
    assert wait(LiveRun(RECORD), None, on_look=lambda: looks.append(1)) is RECORD
    assert len(looks) == 2


@pytest.mark.parametrize("error", [RankFailed("rank 0 died", rank=0), TimeoutError("no answer")])
def test_what_a_run_fails_with_is_raised_and_waited_for_no_longer(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        wait(LiveRun(error), lambda: False)


@pytest.mark.parametrize("end", [RECORD, RunStopped("in the line"), None])
def test_a_run_that_is_asked_to_stop_has_no_record(
    asked: Any, end: object, caplog: pytest.LogCaptureFixture
) -> None:
    run = LiveRun(None, looks=9, after_stop=end)
    assert wait(run, asked) is None
    assert run.stopped
    assert ("was asked to stop: run r has not ended" in caplog.text) == (end is None)


def test_a_run_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_asked, "STOP_S", 0.01)
    run = LiveRun(RECORD, looks=float("inf"))
    with pytest.raises(TimeoutError, match="has not ended"):
        wait(run, lambda: False, timeout_s=0.0)
    assert run.stopped
