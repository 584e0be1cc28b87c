"""Check cells of the exercises: they judge a run that was executed, by its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labkit.emulate.device import Device
from labkit.runs.record import RunRecord
from labkit.runs.run import Run

Measure = Callable[[RunRecord], Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is asked of a record.

    Attributes:
        what: the figure, in words.
        of: takes it from a record.
        holds: whether a value is good enough.
        wanted: what is good enough, in words.
        spec: how a value is written, as in a format string.
    """

    what: str
    of: Measure
    holds: Callable[[Any], bool]
    wanted: str
    spec: str = ""

    def judge(self, record: RunRecord) -> tuple[bool, str]:
        """Whether the record keeps it, and one line that says so with the value."""
        value = self.of(record)
        return bool(self.holds(value)), f"{self.what}: {value:{self.spec}} (wanted: {self.wanted})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check cell shows.

    Attributes:
        passed: ``None`` while there is nothing to judge.
        lines: whether each claim holds, and its line.
    """

    passed: bool | None
    lines: tuple[tuple[bool, str], ...] = ()

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if self.passed is None:
            return "Nothing to check yet: do the exercise above, then run this cell again."
        return "Right: every claim holds." if self.passed else "Not yet: see what is missing."

    def _repr_markdown_(self) -> str:
        lines = [f"- {'✓' if held else '✗'} {line}" for held, line in self.lines]
        return "\n".join([f"**{self.headline}**", "", *lines])

    def __repr__(self) -> str:
        marks = [f"{'[x]' if held else '[ ]'} {line}" for held, line in self.lines]
        return "\n".join([self.headline, *marks])


def at_most(what: str, of: Measure, limit: float, spec: str = ".3g") -> Claim:
    """A figure of the record that may not exceed a limit."""
    return Claim(what, of, lambda value: value <= limit, f"at most {limit:{spec}}", spec)


def at_least(what: str, of: Measure, limit: float, spec: str = ".3g") -> Claim:
    """A figure of the record that must reach a limit."""
    return Claim(what, of, lambda value: value >= limit, f"at least {limit:{spec}}", spec)


def equals(what: str, of: Measure, wanted: Any) -> Claim:
    """A figure of the record that must be exactly so."""
    return Claim(what, of, lambda value: value == wanted, f"{wanted}")


def emulated_on(device: Device) -> Claim:
    """The run is emulated, on exactly this declared device."""

    def name_of(record: RunRecord) -> str:
        declared = record.emulation.get("declared")
        if declared is None:
            return "no device"
        return device.name if declared == asdict(device) else f"another than this {device.name}"

    return equals("emulated on", name_of, device.name)


def check(
    run: Run | RunRecord | None, *claims: Claim, other_than: Sequence[RunRecord] = ()
) -> Verdict:
    """Judge the run that the reader made.

    Args:
        run: what ``labkit.train`` returned, waited for if it is live, or its record; ``None``
            before the exercise was done.
        claims: what is asked of its record.
        other_than: the chapter's own runs, which are no answer.
    Returns:
        The verdict; a cell that ends with it shows it.
    """
    if run is None:
        return Verdict(None)
    record = run.wait() if isinstance(run, Run) else run
    if not isinstance(record, RunRecord):
        line = f"{type(run).__name__} is no run: assign what labkit.train(...) returned"
        return Verdict(False, ((False, line),))
    lines = [
        equals("status", lambda r: r.status, "done").judge(record),
        at_least("steps done", lambda r: len(r.steps), record.planned_steps, "d").judge(record),
    ]
    if record.run in {other.run for other in other_than}:
        lines.append((False, f"{record.run} is the chapter's own run: start one yourself"))
    if all(held for held, _ in lines):
        lines += [claim.judge(record) for claim in claims]
    return Verdict(all(held for held, _ in lines), tuple(lines))
