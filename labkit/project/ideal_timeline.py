"""A pipeline's step as it was, and as it could have been: for drawing one over the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median, median_low

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.project.ideal_replicas import SPANS
from labkit.project.memory import pipeline_actions
from labkit.project.schedules import Action
from labkit.project.simulate import Op, Pipeline
from labkit.runs.record import UPDATE, RunRecord, Span


def ideal_timeline(record: RunRecord) -> list[Span]:
    """The step that a run's schedule would have taken with messages that take no time.

    Every action takes the median time that it took in the run, on its own stage; so what is left
    between them is the schedule's own bubble.

    Args:
        record: of a finished run with a pipeline, measured or emulated.
    Returns:
        Forwards, backwards and updates of all ranks in one step that begins at 0.
    Raises:
        SettingError: the run had no pipeline, or has not done a whole step.
    """
    plan = Plan.from_dict(record.plan)
    if plan.pp == 1 or plan.placement != "layers":
        raise SettingError(
            f"run {record.run} had no pipeline of layers (pp={plan.pp}, "
            f"placement={plan.placement}); choose a run with pp of 2 or more"
        )
    actions = pipeline_actions(plan)
    seconds = _median_seconds(record, actions)
    pipeline = Pipeline(actions, lambda action: seconds[SPANS[action.kind][0], action.stage])
    ranks = pipeline.step([0.0] * plan.pp)
    return [
        Span(rank, *span[1:])
        for rank in range(plan.world_size)
        for span in _spans(ranks[rank // plan.tp % plan.pp], rank // plan.tp % plan.pp, seconds)
    ]


def measured_step(record: RunRecord) -> list[Span]:
    """One typical step of a run: of median length among those after the warm-up.

    Args:
        record: of a finished run, measured or emulated.
    Returns:
        Its spans on all ranks, moved so that the first one begins at 0.
    Raises:
        SettingError: no whole step is left in the record.
    """
    whole = _whole_steps(record)
    lengths = {step.step: step.seconds for step in record.measured_steps if step.step in whole}
    if not lengths:
        raise SettingError(
            f"run {record.run} has no whole step in its record; let it do more steps than its "
            f"warm-up of {record.warmup_steps}"
        )
    typical_s = median_low(lengths.values())
    number = next(step for step, length_s in lengths.items() if length_s == typical_s)
    spans = [span for span in record.spans if span.step == number]
    zero_s = min(span.start_s for span in spans)
    return [span._replace(start_s=span.start_s - zero_s) for span in spans]


def _whole_steps(record: RunRecord) -> set[int]:
    """Steps of which no rank has dropped a span: long runs forget the oldest."""
    steps_of: defaultdict[int, set[int]] = defaultdict(set)
    for span in record.spans:
        steps_of[span.rank].add(span.step)
    # Where the first steps are gone, the oldest one that is left may be there in part only.
    oldest = max((min(steps) for steps in steps_of.values()), default=0)
    on_all = set.intersection(*steps_of.values()) if len(steps_of) == record.world_size else set()
    return {step for step in on_all if step > oldest or oldest == 0}


def _median_seconds(
    record: RunRecord, actions: Sequence[Sequence[Action]]
) -> dict[tuple[str, int], float]:
    """Median time of each kind of span on each stage, and of the update of each place."""
    found: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    plan = Plan.from_dict(record.plan)
    measured = {step.step for step in record.measured_steps}
    for span in record.spans:
        if span.step in measured and span.microbatch >= 0:
            found[span.kind, span.stage].append(span.duration_s)
        elif span.step in measured and (span.kind, span.name) == ("optimizer", UPDATE):
            found["optimizer", span.rank // plan.tp % plan.pp].append(span.duration_s)
    seconds = {key: median(durations) for key, durations in found.items()}
    needed = {(SPANS[action.kind][0], action.stage) for of_rank in actions for action in of_rank}
    missing = sorted(needed - seconds.keys())
    if missing:
        kind, stage = missing[0]
        raise SettingError(
            f"run {record.run} has no {kind} of stage {stage} in its record; let it do more steps "
            f"than its warm-up of {record.warmup_steps}"
        )
    return seconds


def _spans(
    ops: Sequence[Op], place: int, seconds: Mapping[tuple[str, int], float]
) -> Iterator[Span]:
    """What one place does, of rank 0 for now."""
    for (kind, stage, microbatch), start_s, end_s, _ in ops:
        yield Span(0, stage, *SPANS[kind], start_s, end_s - start_s, microbatch, 0, 0)
    update_s = seconds.get(("optimizer", place), 0.0)
    yield Span(0, place, "optimizer", "sgd", ops[-1].end_s, update_s, -1, 0, 0)
