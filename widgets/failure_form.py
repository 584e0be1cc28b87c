"""What follows a failure: how often the run goes on, with which ranks, and from where."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from labkit.cluster.supervision import OnFailure
from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.runs.restart_policy import smaller_plan
from labkit.workload import Workload
from widgets.fields import dropdown, mark_unavailable, read_text, text, write
from widgets.panel import int_slider
from widgets.state import LabState

RESTARTS, MOST_RESTARTS = 10, 20  # more than elsewhere: a class kills one rank after another
REPLACE, SHRINK = "wait for a replacement", "shrink to those left"
WAYS: Mapping[str, OnFailure] = MappingProxyType({REPLACE: "replace", SHRINK: "shrink"})
BY_TIME = "by time"
TIPS = {
    "restarts": "how often the run goes on by itself after a failure",
    "on_failure": "go on with as many ranks, or at once with the replicas that the rest make up",
    "checkpoint_every": (
        "steps from one checkpoint to the next; by time takes at most 2 % of it; 0 writes none, "
        "and a run that fails begins again"
    ),
}


class FailureForm:
    """The controls of the group Failures.

    Attributes:
        restarts: how often the run goes on after a failure.
        on_failure: with which ranks, in words.
        checkpoint_every: steps from one checkpoint to the next, as typed.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self.restarts = int_slider("Restarts", 0, MOST_RESTARTS, RESTARTS)
        self.on_failure = dropdown("On failure", list(WAYS))
        self.checkpoint_every = text(
            "Checkpoints", BY_TIME, "by time, steps such as 50, or 0 for none"
        )
        for name, control in zip(TIPS, self.controls, strict=True):
            control.tooltip = TIPS[name]

    @property
    def controls(self) -> list[Any]:
        """All of them, from top to bottom."""
        return [self.restarts, self.on_failure, self.checkpoint_every]

    def read(self, plan: Plan, workload: Workload) -> tuple[int, OnFailure, int | None]:
        """Restarts, which ranks go on, and steps between checkpoints; ``None`` is by time.

        Raises:
            SettingError: the steps cannot be read.
            PlanError: the plan cannot shrink, and is to.
        """
        every = None if self._apart() else read_text(self.checkpoint_every, BY_TIME, _steps)
        way = WAYS[str(self.on_failure.value)]
        if not self.restarts.value:
            way = "replace"  # nothing goes on
        if way == "shrink" and (trouble := _why_not_shrink(plan, workload)):
            raise PlanError(f"{trouble}; choose On failure {REPLACE!r}")
        return int(self.restarts.value), way, every

    def render(self, plan: Plan | None, workload: Workload, *, active: bool) -> list[str]:
        """Disable what cannot be chosen under a plan, ``None`` while there is none; says why."""
        trouble = "" if plan is None else _why_not_shrink(plan, workload)
        mark_unavailable(self.on_failure, [SHRINK] if trouble else [])
        ends = "" if self.restarts.value else "Restarts 0: the first failure ends the run"
        apart = self._apart()
        off = {self.on_failure: ends, self.checkpoint_every: apart}
        write(self.restarts, "disabled", active)
        for control, why in off.items():
            write(control, "disabled", active or bool(why))
        lines = [f"Off: {control.description} ({why})" for control, why in off.items() if why]
        if trouble and not ends:
            lines.append(f"Not now: {self.on_failure.description} {SHRINK} ({trouble})")
        return lines

    def chosen(self) -> list[str]:
        """What differs from what the lab does by itself, in words."""
        way, every = str(self.on_failure.value), str(self.checkpoint_every.value).strip()
        said = []
        if self.restarts.value != RESTARTS:
            said.append(f"{self.restarts.value} restarts")
        if WAYS[way] == "shrink" and self.restarts.value:
            said.append("shrink")
        if every not in ("", BY_TIME) and not self._apart():
            said.append(f"checkpoints {every}")
        return said

    def _apart(self) -> str:
        """Why there can be no checkpoints; empty where there can."""
        cluster = self._state.cluster
        if cluster is None or cluster.shares_files:
            return ""
        return "the hosts share no files, so a run that fails begins again"


def _why_not_shrink(plan: Plan, workload: Workload) -> str:
    """Why a plan that loses a rank cannot go on with the others; empty where it can."""
    try:
        smaller_plan(plan, workload, plan.world_size - 1)
    except PlanError as error:
        return str(error).partition(";")[0]  # the way out has another name here
    return ""


def _steps(typed: str) -> int:
    """Steps between two checkpoints; raises ValueError for what is no count of them."""
    steps = int(typed)
    if steps < 0:
        raise ValueError(typed)
    return steps
