"""Buttons that kill and slow parts of a live run, to see how the cluster takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from labkit.runs.attack import LINK_FACTOR, SLOW_FACTOR, SLOW_S
from labkit.runs.record import RunRecord
from widgets.fields import offer
from widgets.jobs import Job, Pump
from widgets.markup import alert, hint, note, reason_lines
from widgets.panel import DESCRIPTION, FULL, action_button
from widgets.state import LabState

NO_RUN = "No run is live: press Train, then come back here while it trains."


class AttackForm:
    """A rank and a worker to choose, and a button for each attack.

    An attack has a job of its own, for it happens while the Train panel's is at work.

    Attributes:
        widget: all of it; hidden while there is no cluster.
        actions: what each button does.
    """

    def __init__(self, state: LabState, pump: Pump) -> None:
        self.state = state
        self.pump = pump
        self.job = Job("attack", state.log, pump.poke, quiet=True)
        state.background.append(self.job)
        self.rank_choice = ipw.Dropdown(description="Rank", style=DESCRIPTION, layout=FULL)
        self.worker_choice = ipw.Dropdown(description="Worker", style=DESCRIPTION, layout=FULL)
        self.buttons = {
            "kill_rank": action_button("Kill rank", "bolt", "danger", "SIGKILL the chosen rank"),
            "kill_leader": action_button(
                "Kill leader", "star", "danger", "SIGKILL the rank that leads now"
            ),
            "kill_worker": action_button(
                "Kill worker", "power-off", "danger", "SIGKILL the chosen worker and its rank"
            ),
            "slow_rank": action_button(
                "Slow rank", "hourglass-half", "warning",
                f"Give the chosen rank 1/{SLOW_FACTOR:g} of its time for {SLOW_S:g} s",
            ),
            "slow_link": action_button(
                "Slow link", "chain-broken", "warning",
                f"Let the links carry 1/{LINK_FACTOR:g} of what they carry for {SLOW_S:g} s",
            ),
        }  # fmt: skip
        self.reasons = ipw.HTML()
        self.result = ipw.HTML()
        kill_rank, kill_leader, kill_worker, slow_rank, slow_link = self.buttons.values()
        self.widget = ipw.VBox(
            [
                ipw.HTML("<h4>Attack the run</h4>"),
                self.rank_choice,
                ipw.HBox([kill_rank, slow_rank]),
                self.worker_choice,
                ipw.HBox([kill_worker]),
                ipw.HBox([kill_leader, slow_link]),
                self.reasons,
                self.result,
            ],
            layout=ipw.Layout(display="none"),
        )
        self.widget.add_class("lab-attacks")
        self.actions: list[tuple[ipw.Button, Callable[[], object]]] = [
            (button, self._action(what)) for what, button in self.buttons.items()
        ]

    def _action(self, what: str) -> Callable[[], object]:
        return lambda: self.attack(what)

    def attack(self, what: str) -> None:
        """Attack what is chosen; its worker may take a moment to answer, so in a thread."""
        run, target = self.state.run, self._target(what)
        self.job.start(lambda: self._attack(run, what, *target), said(what))

    def _target(self, what: str) -> tuple[int | str, ...]:
        if what in ("kill_rank", "slow_rank"):
            return (self.rank_choice.value,)
        return (self.worker_choice.value,) if what == "kill_worker" else ()

    def _attack(self, run: Any, what: str, *target: int | str) -> None:
        if run is None:
            raise LabError(NO_RUN)
        done = self.state.engine.attack(run, what, *target)
        whom = f" {done['target']}" if done["target"] != "" else ""
        self.state.log(f"{said(what)}{whom}: done at {done['at_s']:.1f} s of run {run.run}")

    # -- on the pump's thread ------------------------------------------------------------------

    def render(self, history: Sequence[str]) -> None:
        """What can be attacked now, and the newest of what happened."""
        cluster, run = self.state.cluster, self.state.run
        self.widget.layout.display = "none" if cluster is None else ""
        if cluster is None:
            return
        record = run.view() if run is not None and not run.done else None
        offer(self.worker_choice, [(str(w["name"]), str(w["name"])) for w in cluster.workers])
        num_ranks = record.world_size if record is not None else 0
        offer(self.rank_choice, [(f"rank {rank}", rank) for rank in range(num_ranks)])
        general = _why_nothing(record)
        own = {} if general else self._why_not(record, run)
        for what, button in self.buttons.items():
            button.disabled = bool(general) or what in own
        self.rank_choice.disabled = self.worker_choice.disabled = bool(general)
        lines = [f"{said(what)}: {why}" for what, why in own.items()]
        self.reasons.value = hint(general) if general else reason_lines(lines, "Attacks")
        failed = alert(f"{self.job.name}: {self.job.error}") if self.job.error else ""
        self.result.value = failed or _newest(history) + _restarts(record, run)

    def _why_not(self, record: RunRecord | None, run: Any) -> dict[str, str]:
        """Why single attacks cannot be made now."""
        why = {}
        leads = record is not None and record.world_size > 1
        if not leads:
            why["kill_leader"] = "a single rank elects no leader"
        if self.state.cluster is not None and self.state.cluster.kind == "existing":
            why["kill_worker"] = "the workers are somebody else's, and may not come back"
        obstacle = self.state.engine.why_no_slow_link(run)
        if obstacle:
            why["slow_link"] = obstacle
        return why


def said(what: str) -> str:
    """An attack as its button names it."""
    return what.replace("_", " ").capitalize()


def _why_nothing(record: RunRecord | None) -> str:
    if record is None:
        return NO_RUN
    return "The ranks are starting ..." if record.status == "starting" else ""


def _newest(history: Sequence[str]) -> str:
    """The newest sentence, read out when it changes."""
    if not history:
        return ""
    return f'<div role="status" aria-label="What happened">{escape(history[-1])}</div>'


def _restarts(record: RunRecord | None, run: Any) -> str:
    """How often a live run has gone on after failures, and how often it may yet."""
    if record is None:
        return ""
    left, restarts = run.restarts_left, record.restarts
    times = "the next failure ends it" if left < 1 else f"it goes on after {left} more failures"
    if left == 1:
        times = "it goes on after one more failure"
    count = "1 restart" if restarts == 1 else f"{restarts} restarts"
    return note(f"{count} of this run so far: {times}.", "Restarts")
