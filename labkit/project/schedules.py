"""The order in which each rank of a pipeline works: the lists that ranks run and simulations use.

Stage ``s`` lives on rank ``s % num_ranks``. A forward ``F`` needs the activation of the stage
before, a backward ``B`` (or its first half ``I``, the gradient of the input) the gradient of the
stage behind and the stage's own forward; the gradient of the weights ``W`` needs the own ``I``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from labkit.errors import PlanError


class Action(NamedTuple):
    """One piece of work of one rank."""

    kind: str  # F forward, B whole backward, I gradient of the input, W gradient of the weights
    stage: int
    microbatch: int


Actions = tuple[Action, ...]


def schedule_actions(
    schedule: str, num_ranks: int, num_microbatches: int, virtual_stages: int = 1
) -> tuple[Actions, ...]:
    """What each rank of a pipeline does in one step, in order.

    Args:
        schedule: one of ``SCHEDULES``; ``Plan`` checks which counts it can take.
        num_ranks: ranks of the pipeline.
        num_microbatches: pieces of the batch.
        virtual_stages: stages on each rank; more than one with interleaved 1F1B only.
    Returns:
        A tuple per rank.
    Raises:
        PlanError: no schedule has that name.
    """
    if schedule not in SCHEDULES:
        raise PlanError(f"schedule={schedule!r} is unknown; choose from {', '.join(SCHEDULES)}")
    make = SCHEDULES[schedule]
    return tuple(
        make(rank, num_ranks, num_microbatches, virtual_stages) for rank in range(num_ranks)
    )


def gpipe(rank: int, num_ranks: int, num_microbatches: int, virtual_stages: int = 1) -> Actions:
    """All forwards, then all backwards; every microbatch stays in memory until then.

    Source: Huang et al. 2019, arXiv:1811.06965.
    """
    microbatches = range(num_microbatches)
    return (
        *(Action("F", rank, m) for m in microbatches),
        *(Action("B", rank, m) for m in microbatches),
    )


def one_f_one_b(
    rank: int, num_ranks: int, num_microbatches: int, virtual_stages: int = 1
) -> Actions:
    """Forwards until the first gradient can be back, then one backward and one forward in turn.

    Rank r keeps at most ``num_ranks - r`` microbatches in memory.

    Source: PipeDream-Flush, Narayanan et al. 2021, arXiv:2104.04473, section 2.2.
    """
    num_warmup = min(num_microbatches, num_ranks - rank)
    actions = [Action("F", rank, m) for m in range(num_warmup)]
    for m in range(num_microbatches):
        actions.append(Action("B", rank, m))
        if num_warmup + m < num_microbatches:
            actions.append(Action("F", rank, num_warmup + m))
    return tuple(actions)


def interleaved_1f1b(
    rank: int, num_ranks: int, num_microbatches: int, virtual_stages: int = 1
) -> Actions:
    """1F1B over several smaller stages a rank: the bubble shrinks, messages grow in number.

    The rank takes its stages in turn, ``num_ranks`` microbatches of each at a time.

    Source: Narayanan et al. 2021, arXiv:2104.04473, section 2.2; the order of Megatron-LM.
    """
    round_size = num_ranks * virtual_stages
    total = num_microbatches * virtual_stages

    def nth(kind: str, n: int) -> Action:
        rounds, place = divmod(n, round_size)
        chunk, microbatch = divmod(place, num_ranks)
        if kind == "B":
            chunk = virtual_stages - 1 - chunk
        return Action(kind, chunk * num_ranks + rank, rounds * num_ranks + microbatch)

    num_ahead = min(total, 2 * (num_ranks - rank - 1) + (virtual_stages - 1) * num_ranks)
    actions = [nth("F", n) for n in range(num_ahead)]
    for n in range(total):
        if num_ahead + n < total:
            actions.append(nth("F", num_ahead + n))
        actions.append(nth("B", n))
    return tuple(actions)


def zero_bubble(
    rank: int, num_ranks: int, num_microbatches: int, virtual_stages: int = 1
) -> Actions:
    """1F1B whose gradients of weights come later: rank r puts them off by r microbatches.

    The stage before is served sooner, and what was put off fills the end of the step, where 1F1B
    waits. No rank keeps more than ``num_ranks`` microbatches, the peak of 1F1B.

    Source: the schedule ZB-H1 of Qi et al. 2024, arXiv:2401.10241.
    """
    actions: list[Action] = []
    for kind, stage, microbatch in one_f_one_b(rank, num_ranks, num_microbatches):
        if kind == "F":
            actions.append(Action("F", stage, microbatch))
            continue
        actions.append(Action("I", stage, microbatch))
        if microbatch >= rank:
            actions.append(Action("W", stage, microbatch - rank))
    first_left = max(0, num_microbatches - rank)
    actions += [Action("W", rank, m) for m in range(first_left, num_microbatches)]
    return tuple(actions)


SCHEDULES: Mapping[str, Callable[[int, int, int, int], Actions]] = MappingProxyType(
    {
        "gpipe": gpipe,
        "1f1b": one_f_one_b,
        "interleaved1f1b": interleaved_1f1b,
        "zero_bubble": zero_bubble,
    }
)
