"""Work behind the controls: jobs in threads, one thread that writes widgets, a log, a guard.

Which thread runs a widget's callback depends on the version of ipykernel, exceptions in it go to
an invisible log, and a click can overtake the last value of a slider. So callbacks only enqueue;
the pump alone reads and writes widgets; a job asks the pump for the settled values.
"""

from __future__ import annotations

import functools
import html
import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, ParamSpec, TypeVar

from labkit.errors import LabError, RunStopped

State = Literal["idle", "running", "stopping", "done", "stopped", "failed"]

SETTLE_S = 0.25  # by then a slider that moved just before a click has sent its value
TICK_S = 0.25  # 4 Hz: a picture that moves, and little of the cores that the ranks work on
ANSWER_S = 10.0  # the pump answers within a render; longer means that it is gone

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class Log:
    """The newest lines for people; any thread may write."""

    def __init__(self, num_lines: int = 200) -> None:
        self._lines: deque[tuple[str, str, str]] = deque(maxlen=num_lines)
        self._lock = threading.Lock()

    def __call__(self, message: str, level: str = "info") -> None:
        with self._lock:
            self._lines.append((time.strftime("%H:%M:%S"), level, message))

    def error(self, where: str, error: BaseException) -> None:
        """An error with its traceback; one that the lab raised says what there is to say."""
        if isinstance(error, LabError):
            said = str(error)
        else:
            said = "".join(traceback.format_exception(error)).rstrip()
        self(f"{where}: {said}", "error")

    def html(self) -> str:
        """The lines as a live region."""
        with self._lock:
            lines = list(self._lines)
        rows = "".join(
            f'<div class="{level}"><time>{at}</time> {html.escape(said)}</div>'
            for at, level, said in lines
        )
        return f'<div class="lab-log" role="log" aria-label="Log" tabindex="0">{rows}</div>'


def guard(log: Log, where: str, callback: Callable[Given, object]) -> Callable[Given, None]:
    """A callback whose errors reach the log panel instead of nobody."""

    @functools.wraps(callback)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:
            log.error(where, error)

    return guarded


class Job:
    """One thing that a panel does at a time, in its own thread.

    idle -> running -> (stopping) -> done | stopped | failed, and again from there.

    Attributes:
        name: verb for the log, such as "train".
        state: where it is.
        error: what went wrong, in one line; empty unless failed.
        stop_event: set when a stop was asked for.
        quiet: whether only its failures are news.
        num_starts: how often it was started.
    """

    def __init__(
        self, name: str, log: Log, on_change: Callable[[], None], *, quiet: bool = False
    ) -> None:
        self.name = name
        self.quiet = quiet
        self.num_starts = 0
        self.state: State = "idle"
        self.error = ""
        self.stop_event = threading.Event()
        self._log = log
        self._on_change = on_change
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def active(self) -> bool:
        """Whether it is at work."""
        return self.state in ("running", "stopping")

    def start(self, work: Callable[[], object], name: str = "") -> bool:
        """Run ``work`` in a thread; a second start while it is at work does nothing.

        Args:
            work: looks at ``stop_event`` from time to time.
            name: the verb from now on, where a panel has several.
        """
        with self._lock:
            if self.active:
                return False
            self.state = "running"
            self.num_starts += 1
            self.name = name or self.name
            self.error = ""
            self.stop_event.clear()
            self._thread = threading.Thread(
                target=self._run, args=(work,), name=f"lab-{self.name}", daemon=True
            )
        self._thread.start()
        self._on_change()
        return True

    def stop(self) -> bool:
        """Ask it to stop; the work looks at ``stop_event``."""
        with self._lock:
            if self.state != "running":
                return False
            self.state = "stopping"
            self.stop_event.set()
        self._log(f"{self.name}: stop requested")
        self._on_change()
        return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is not at work; whether it ended in time."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self.active

    def _run(self, work: Callable[[], object]) -> None:
        end: State = "failed"
        try:
            work()
            end = "stopped" if self.stop_event.is_set() else "done"
        except RunStopped:
            end = "stopped"
        except Exception as error:
            known = isinstance(error, LabError)  # its first line names the cause, the log has all
            self.error = str(error).split("\n")[0] if known else _in_one_line(error)
            self._log.error(self.name, error)
        finally:
            with self._lock:
                self.state = end
            if end != "failed" and not self.quiet:
                self._log(f"{self.name}: {end}")
            self._on_change()


class Pump:
    """The only thread that reads and writes widgets: renders when poked, at most at 4 Hz.

    Args:
        render: writes the widgets from the state as it is now.
        busy: whether something moves, so that it renders without being poked.
        log: where errors go; the pump outlives them.
    """

    def __init__(self, render: Callable[[], None], busy: Callable[[], bool], log: Log) -> None:
        self._render = render
        self._busy = busy
        self._log = log
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._poked = threading.Event()
        self._urgent = threading.Event()  # somebody waits for an answer, or for the end
        self._closed = False
        self.thread = threading.Thread(target=self._loop, name="lab-pump", daemon=True)
        self.thread.start()

    def poke(self) -> None:
        """Render soon; from any thread, never blocks."""
        self._poked.set()

    def call(self, function: Callable[[], Answer]) -> Answer:
        """Run a function between two renders, on the pump's thread, and return what it returns.

        Raises:
            TimeoutError: the pump is closed, or did not answer within ``ANSWER_S``.
        """
        if threading.current_thread() is self.thread or not self.thread.is_alive():
            return function()
        future: Future[Answer] = Future()
        self._calls.put((function, future))
        self._urgent.set()
        self.poke()
        return future.result(ANSWER_S)

    def close(self) -> None:
        """Render a last time and end."""
        self._closed = True
        self._urgent.set()
        self.poke()
        if threading.current_thread() is not self.thread:
            self.thread.join(ANSWER_S)

    def _loop(self) -> None:
        while True:
            self._poked.wait(TICK_S if self._busy() else None)
            self._poked.clear()
            self._urgent.clear()
            closing = self._closed
            begun_s = time.monotonic()
            guard(self._log, "display", self._render)()
            self._answer()
            if closing:
                return
            self._urgent.wait(max(0.02, TICK_S - (time.monotonic() - begun_s)))

    def _answer(self) -> None:
        while not self._calls.empty():
            function, future = self._calls.get()
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)


def _in_one_line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
