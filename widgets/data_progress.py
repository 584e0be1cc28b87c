"""Progress of every task: one strip of cells a step, a cell a part of the data."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from labkit.preprocess.report import STEPS

ORDER = ("sources", *STEPS)
MAX_CELLS = 48  # more tasks than that share cells


class TaskProgress:
    """Tasks done by step; written by the job's thread, read by the pump's.

    Attributes:
        step: the one at work; empty before the first.
    """

    def __init__(self, stages: Sequence[str] = ()) -> None:
        self.step = ""
        self._tasks: dict[str, tuple[int, int]] = dict.fromkeys(stages, (0, 0))

    def note(self, step: str, done: int, total: int) -> None:
        """Take what the engine said."""
        self.step = step
        tasks = {**self._tasks, step: (done, max(total, 1))}
        # One that was left out may be run all the same, without effect: it comes in its place.
        self._tasks = dict(sorted(tasks.items(), key=lambda task: _place(task[0])))

    @property
    def stages(self) -> tuple[str, ...]:
        """The steps, in the order in which they come."""
        return tuple(self._tasks)

    def share(self) -> float:
        """Share of the way, each step counted alike."""
        tasks = self._tasks
        if not tasks or self.step not in tasks:
            return 0.0
        done, total = tasks[self.step]
        return (list(tasks).index(self.step) + min(done / total, 1.0)) / len(tasks)

    def in_words(self) -> str:
        """Where it is; empty before the first task."""
        if self.step not in self._tasks:
            return ""
        done, total = self._tasks[self.step]
        place = self.stages.index(self.step) + 1
        return f"{place} of {len(self._tasks)}, {self.step}: task {done} of {total}"

    def html(self) -> str:
        """A strip for each step; what lies before the step at work is complete."""
        at = self.stages.index(self.step) if self.step in self._tasks else -1
        rows = "".join(
            _strip(step, done, total, complete=place < at)
            for place, (step, (done, total)) in enumerate(self._tasks.items())
        )
        return f'<div class="lab-strips" role="group" aria-label="Tasks by step">{rows}</div>'


def _place(step: str) -> int:
    return ORDER.index(step) if step in ORDER else len(ORDER)


def _strip(step: str, done: int, total: int, *, complete: bool) -> str:
    """One step; its cells are drawn by the style sheet, from two numbers."""
    if complete:
        done = total = max(total, 1)
    share = done / total if total else 0.0
    cells = min(max(total, 1), MAX_CELLS)
    count = f"{done:,} of {total:,}" if total > 1 or not complete else "done"
    said, spoken = (count, f"{count} tasks") if total else ("waits", "waits")
    state = "done" if share >= 1 else "now" if total else "later"
    return (
        f'<div class="lab-strip {state}"><span class="name">{escape(step)}</span>'
        f'<span class="cells" role="img" aria-label="{escape(step)}: {spoken}" '
        f'style="--share:{100 * share:.2f}%;--cells:{cells}"></span>'
        f'<span class="count">{said}</span></div>'
    )
