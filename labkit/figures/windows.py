"""Which steps of a run a timeline shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple

from labkit.figures.style import Theme
from labkit.runs.record import RunRecord, Span

MAX_STEPS_SHOWN = 3
MAX_SPANS_A_RANK = 80  # more than this in the picture and none can be told apart

StepsByRank = Mapping[int, Mapping[int, list[Span]]]


class Window(NamedTuple):
    """The whole steps shown, and the spans in them."""

    start_s: float
    end_s: float
    spans: list[Span]
    step_starts_s: dict[int, float]

    @property
    def length_s(self) -> float:
        """From the beginning of the first span to the end of the last."""
        return self.end_s - self.start_s


def newest_steps(record: RunRecord) -> Window | None:
    """The newest whole steps that every rank has spans of, at most ``MAX_STEPS_SHOWN``.

    Returns:
        The window, or ``None`` before the first whole step.
    """
    by_rank = _by_rank(record)
    steps = _whole_steps(record, by_rank)
    if not steps:
        return None
    last = steps[-1]
    busiest = max(len(of_rank.get(last, ())) for of_rank in by_rank.values())
    count = max(1, min(MAX_STEPS_SHOWN, MAX_SPANS_A_RANK // max(busiest, 1), len(steps)))
    return _window(by_rank, range(last - count + 1, last + 1))


def typical_step(record: RunRecord) -> Window | None:
    """The whole step whose length is the median; of two such steps the later.

    Returns:
        A window of one step, or ``None`` before the first whole step.
    """
    by_rank = _by_rank(record)
    windows = [_window(by_rank, [step]) for step in _whole_steps(record, by_rank)]
    found = [window for window in windows if window is not None]
    if not found:
        return None
    middle_s = median(window.length_s for window in found)
    return min(reversed(found), key=lambda window: abs(window.length_s - middle_s))


def kinds_shown(plan: Mapping[str, Any], theme: Theme, spans: Iterable[Span]) -> list[str]:
    """Kinds for a legend: those that the plan can show, then others as they appear."""
    kinds = ["forward", "backward", "optimizer"]
    if plan.get("schedule") == "zero_bubble" and int(plan.get("pp", 1)) > 1:
        kinds.insert(2, "weight_grad")
    kinds += [f"comm_{axis}" for axis in ("dp", "tp", "pp") if int(plan.get(axis, 1)) > 1]
    kinds += ["data", "idle"]
    there = {span.kind for span in spans}
    return kinds + [kind for kind in theme.spans if kind in there and kind not in kinds]


def _by_rank(record: RunRecord) -> StepsByRank:
    by_rank: dict[int, dict[int, list[Span]]] = {}
    for span in record.spans:
        if span.step >= 0:
            by_rank.setdefault(span.rank, {}).setdefault(span.step, []).append(span)
    return by_rank


def _whole_steps(record: RunRecord, by_rank: StepsByRank) -> range:
    if len(by_rank) < record.world_size:
        return range(0)
    first = max(min(steps) for steps in by_rank.values())
    last = min(max(steps) for steps in by_rank.values())
    if record.status in ("starting", "running"):
        last -= 1  # the newest step may still be growing
        first += 1  # the oldest may have lost its beginning
    return range(first, last + 1)


def _window(by_rank: StepsByRank, steps: Iterable[int]) -> Window | None:
    starts: dict[int, float] = {}
    spans: list[Span] = []
    for step in steps:
        found = [span for of_rank in by_rank.values() for span in of_rank.get(step, ())]
        if found:
            starts[step] = min(span.start_s for span in found)
            spans += found
    if not spans:
        return None
    end_s = max(span.start_s + span.duration_s for span in spans)
    return Window(min(starts.values()), end_s, spans, starts)
