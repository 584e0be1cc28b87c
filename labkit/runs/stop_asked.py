"""Waiting for a run that its user may ask to stop: for a sweep, a check, a search for quality."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.errors import RunStopped

if TYPE_CHECKING:
    from labkit.runs.record import RunRecord
    from labkit.runs.run import Run

POLL_S = 0.05
STOP_S = 10.0  # a stop takes two seconds; a step that is longer than this is not waited for

logger = logging.getLogger(__name__)


def wait_unless_asked(
    run: Run,
    should_stop: Callable[[], bool] | None,
    *,
    timeout_s: float = float("inf"),
    on_look: Callable[[], None] = lambda: None,
) -> RunRecord | None:
    """The record of a run at its end; ``None`` once its user has asked it to stop.

    Args:
        run: that is live.
        should_stop: asked twenty times a second; once true, the run is stopped.
        timeout_s: seconds after which it is stopped as well.
        on_look: called as often.
    Raises:
        TimeoutError: it took longer than ``timeout_s``.
        Exception: what it failed with.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return run.wait(POLL_S)
        except TimeoutError:
            if run.done:  # and that may be what it failed with
                return run.wait()
            if should_stop is not None and should_stop():
                _stop(run)
                return None
            if time.monotonic() >= deadline:
                _stop(run)
                raise
        on_look()


def _stop(run: Run) -> None:
    """Stop a run, and wait until it has freed its workers."""
    run.stop()
    try:
        run.wait(STOP_S)
    except RunStopped:
        return
    except TimeoutError as late:
        logger.warning("run %s was asked to stop: %s", run.run, late)
