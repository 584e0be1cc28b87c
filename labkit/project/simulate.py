"""Event simulation of a pipeline: when each rank does each action of its list.

A rank does its actions in order. It begins one when the one before is done and what it needs has
arrived: from another rank over a link that carries one message at a time, from another stage on
the same rank at once. Several steps in a row settle into a period, the steady step time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labkit.emulate.device import Link
from labkit.errors import PlanError
from labkit.project.links import LinkClock
from labkit.project.schedules import Action

MAX_STEPS = 24  # until the period is found; it settles after two or three
SETTLED = 1e-9  # relative difference of two periods

Update = Callable[[list[list[float]]], list[list[float]]]


class Op(NamedTuple):
    """One action as it ran, seconds on the simulation's clock."""

    action: Action
    start_s: float
    end_s: float
    sent_s: float  # when what it waited for was computed; start_s where it waited for nothing


class _Task(NamedTuple):
    """An action with all that the simulation needs to know of it."""

    action: Action
    duration_s: float
    needs: tuple[str, int, int] | None  # message from another stage
    gives: tuple[str, int, int] | None
    receiver: int  # rank that gets it
    num_bytes: int


class Pipeline:
    """One pipeline, simulated a step at a time; its links stay as the step before left them.

    Args:
        actions: what each rank does, in order; see ``schedule_actions``.
        duration_s: seconds of an action.
        boundary_bytes: of the activation that each stage hands to the next, and of its gradient.
        link: between two ranks of the pipeline; ``None``: messages take no time.
    Raises:
        PlanError: a backward comes before its forward, or an action before what it needs.
    """

    def __init__(
        self,
        actions: Sequence[Sequence[Action]],
        duration_s: Callable[[Action], float],
        *,
        boundary_bytes: Sequence[int] = (),
        link: Callable[[int, int], Link] | None = None,
    ) -> None:
        self.num_ranks = len(actions)
        num_stages = 1 + max(action.stage for of_rank in actions for action in of_rank)
        self._link = link
        self._clocks: dict[tuple[int, int], LinkClock] = {}
        self._tasks = [
            [self._task(action, duration_s, num_stages, boundary_bytes) for action in of_rank]
            for of_rank in actions
        ]
        for rank, of_rank in enumerate(actions):
            _check_order(rank, of_rank)

    def _task(
        self,
        action: Action,
        duration_s: Callable[[Action], float],
        num_stages: int,
        boundary_bytes: Sequence[int],
    ) -> _Task:
        kind, stage, microbatch = action
        is_forward = kind == "F"
        target = stage + (1 if is_forward else -1)
        name = "activation" if is_forward else "gradient"
        first, last = (0, num_stages - 1) if is_forward else (num_stages - 1, 0)
        boundary = stage if is_forward else target
        sends = kind != "W" and stage != last
        return _Task(
            action,
            duration_s(action),
            None if kind == "W" or stage == first else (name, stage, microbatch),
            (name, target, microbatch) if sends else None,
            target % self.num_ranks,
            boundary_bytes[boundary] if sends and boundary_bytes else 0,
        )

    def step(self, starts_s: Sequence[float]) -> list[list[Op]]:
        """Run one step.

        Args:
            starts_s: when each rank is free to begin.
        Returns:
            What each rank did, in order.
        Raises:
            PlanError: the ranks wait for each other in a circle.
        """
        arrived: dict[tuple[str, int, int], tuple[float, float]] = {}
        waiting: dict[tuple[str, int, int], int] = {}
        done: list[list[Op]] = [[] for _ in self._tasks]
        free_s = list(starts_s)
        runnable = list(range(self.num_ranks))
        while runnable:
            rank = runnable.pop()
            tasks, ops, now_s = self._tasks[rank], done[rank], free_s[rank]
            for task in tasks[len(ops) :]:
                sent_s = start_s = now_s
                if task.needs is not None:
                    if task.needs not in arrived:
                        waiting[task.needs] = rank
                        break
                    sent_s, arrival_s = arrived[task.needs]
                    start_s = max(now_s, arrival_s)
                now_s = start_s + task.duration_s
                ops.append(Op(task.action, start_s, now_s, sent_s))
                if task.gives is not None:
                    arrived[task.gives] = (now_s, self._arrival_s(rank, task, now_s))
                    if task.gives in waiting:
                        runnable.append(waiting.pop(task.gives))
            free_s[rank] = now_s
        if waiting:
            (name, stage, microbatch), rank = next(iter(waiting.items()))
            raise PlanError(
                f"the schedule stands still: rank {rank} waits for the {name} of microbatch "
                f"{microbatch} for stage {stage}, which is never sent; choose another schedule"
            )
        return done

    def _arrival_s(self, sender: int, task: _Task, ready_s: float) -> float:
        if self._link is None or task.receiver == sender:
            return ready_s
        pair = (sender, task.receiver)
        if pair not in self._clocks:
            self._clocks[pair] = LinkClock(self._link(*pair))
        return self._clocks[pair].send(ready_s, task.num_bytes)


@dataclass(frozen=True, slots=True)
class SteadyStep:
    """One step of pipelines that have settled into their period.

    Attributes:
        ops: what each rank of each pipeline did, in order.
        starts_s: when each rank of each pipeline was free to begin the step.
        period_s: from one step to the next.
    """

    ops: list[list[list[Op]]]
    starts_s: list[list[float]]
    period_s: float


def steady_step(pipelines: Sequence[Pipeline], update: Update) -> SteadyStep:
    """Run steps until each takes as long as the one before.

    Args:
        pipelines: replicas that work side by side.
        update: from when each rank of each pipeline ended its actions to when it may begin the
            next step: synchronisation of the replicas and the optimiser.
    """
    widths = [pipeline.num_ranks for pipeline in pipelines]
    ops: list[list[list[Op]]] = []

    def step(starts_s: Sequence[float]) -> list[float]:
        starts = _cut(starts_s, widths)
        ops[:] = [p.step(of_pipe) for p, of_pipe in zip(pipelines, starts, strict=True)]
        ends_s = [[of_rank[-1].end_s for of_rank in of_pipe] for of_pipe in ops]
        return [end for of_pipe in update(ends_s) for end in of_pipe]

    starts_s, period_s = until_settled(step, sum(widths))
    return SteadyStep(ops, _cut(starts_s, widths), period_s)


def until_settled(
    step: Callable[[Sequence[float]], list[float]], num_ranks: int
) -> tuple[list[float], float]:
    """Run steps until they repeat: as a rule each takes as long as the one before on every rank.

    Ranks that wait for each other over unequal links may take turns instead, so that only several
    steps together take as long as those before; a step then takes the mean.

    Args:
        step: from when each rank may begin a step to when it may begin the next.
        num_ranks: ranks; the first step begins at 0 on all of them.
    Returns:
        When each rank began the last step, and the seconds from one step to the next.
    Source: the cyclic regime of a max-plus linear system, Baccelli et al. 1992, "Synchronization
        and linearity", section 3.7.
    """
    starts_s = [[0.0] * num_ranks]
    for _ in range(MAX_STEPS):
        starts_s.append(step(starts_s[-1]))
        for num_steps, before_s in enumerate(reversed(starts_s[:-1]), 1):
            took_s = [b - a for a, b in zip(before_s, starts_s[-1], strict=True)]
            if max(took_s) - min(took_s) <= SETTLED * max(took_s):
                return starts_s[-2], max(took_s) / num_steps
    half = len(starts_s) // 2
    return starts_s[-2], (max(starts_s[-1]) - max(starts_s[half])) / (len(starts_s) - 1 - half)


def simulate(
    actions: Sequence[Sequence[Action]],
    duration_s: Callable[[Action], float],
    *,
    boundary_bytes: Sequence[int] = (),
    link: Callable[[int, int], Link] | None = None,
    update_s: float = 0.0,
) -> SteadyStep:
    """The steady step of one pipeline without replicas; see ``Pipeline`` for the arguments.

    Args:
        update_s: seconds of each rank's update at the end of a step.
    """
    pipeline = Pipeline(actions, duration_s, boundary_bytes=boundary_bytes, link=link)
    return steady_step(
        [pipeline], lambda ends_s: [[end + update_s for end in of_pipe] for of_pipe in ends_s]
    )


def makespan_s(ops: Sequence[Sequence[Op]]) -> float:
    """From the first action of one step to its last."""
    return max(of_rank[-1].end_s for of_rank in ops) - min(of_rank[0].start_s for of_rank in ops)


def _cut(values: Sequence[float], widths: Sequence[int]) -> list[list[float]]:
    """Cut a flat list into pieces of given lengths."""
    rest = iter(values)
    return [[next(rest) for _ in range(width)] for width in widths]


def _check_order(rank: int, actions: Sequence[Action]) -> None:
    """A rank's own order: forward, then gradient of the input, then of the weights."""
    before = {"B": "F", "I": "F", "W": "I"}
    seen: set[Action] = set()
    for action in actions:
        needed = before.get(action.kind)
        if needed is not None and action._replace(kind=needed) not in seen:
            raise PlanError(
                f"the schedule is out of order: rank {rank} does {action.kind} of microbatch "
                f"{action.microbatch} on stage {action.stage} before its {needed}; choose "
                "another schedule"
            )
        seen.add(action)
