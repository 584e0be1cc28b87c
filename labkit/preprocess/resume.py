"""Preprocessing that was interrupted goes on where it was: results of tasks are kept beside it.

The steps ask for the same tasks in the same order each time, and a task gives the same result each
time. So it is enough to keep every task's result under its place in that order: when the same
preprocessing starts again, the tasks that were done answer from there at once.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from labkit.preprocess.tasks import Executor

FOLDER = "done"
FINGERPRINT_FILE = "fingerprint.json"
TASKS = 2  # another number whenever the steps ask for other tasks, or in another order


class Resumable:
    """An executor that keeps the result of every mapped task, and does none of them twice.

    Args:
        inner: runs what has no result yet.
        folder: existing one on the workers' host; results go to its subfolder ``done``.
    """

    def __init__(self, inner: Executor, folder: str) -> None:
        self._inner = inner
        self._folder = f"{folder}/{FOLDER}"
        self._calls = count()

    def begin(self, step: str, total: int) -> None:
        """As of the inner executor."""
        self._inner.begin(step, total)

    def expect(self, more: int) -> None:
        """As of the inner executor."""
        self._inner.expect(more)

    def call(self, function: Callable[..., Any], /, *values: Any, **settings: Any) -> Any:
        """As of the inner executor: short tasks are done again."""
        return self._inner.call(function, *values, **settings)

    def map(
        self, function: Callable[..., Any], /, *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """As of the inner executor, but for what was done before."""
        call = next(self._calls)
        paths = [f"{self._folder}/{call:03d}-{place:05d}.pickle" for place in range(len(parts[0]))]
        return self._inner.map(do_once, paths, *parts, function=function, settings=settings)


def do_once(
    path: str, *values: Any, function: Callable[..., Any], settings: Mapping[str, Any]
) -> Any:
    """The kept result of a task, or its result now, kept."""
    kept = Path(path)
    if kept.exists():
        # Ours: who began again has checked that nobody else can write in the folder.
        return pickle.loads(kept.read_bytes())
    result = function(*values, **settings)
    draft = kept.with_name(f".{kept.name}.{os.getpid()}")
    draft.write_bytes(pickle.dumps(result))
    draft.replace(kept)
    return result


def matches(folder: str, fingerprint: Mapping[str, Any]) -> bool:
    """Whether what lies in a folder was begun with this fingerprint."""
    path = Path(folder) / FINGERPRINT_FILE
    if not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    return bool(found == json.loads(json.dumps(fingerprint)))


def keep_fingerprint(folder: str, fingerprint: Mapping[str, Any]) -> None:
    """Write what a folder was begun with: sources with sizes and times, specification, steps."""
    text = json.dumps(fingerprint, indent=1)
    (Path(folder) / FINGERPRINT_FILE).write_text(text, encoding="utf-8")
