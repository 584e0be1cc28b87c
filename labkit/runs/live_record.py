"""How the record of a live run grows with its ranks' events: its owner's, and each follower's."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from labkit.runs.record import Load, RunRecord, Span, Step

MOST_LOADS = 20_000  # newest samples that are kept
MOST_CHECKPOINTS = 1_000  # newest ones that the record tells of
LIVE_SPANS = 4_000  # newest spans that a live view holds; the final record holds them all


def take_event(record: RunRecord, event: dict[str, Any], device_s: float = 0.0) -> None:
    """Add what an event of a rank says; one that says nothing of the record changes nothing.

    Args:
        record: of the run.
        event: as ``labkit.train.loop.train_steps`` and ``LoadSampler`` send them.
        device_s: see ``later``.
    """
    kind = event["type"]
    if kind == "steps":
        record.steps += later((Step(*step) for step in event["steps"]), device_s)
    elif kind == "spans":
        record.spans += [Span(*span) for span in event["spans"]]
        del record.spans[:-LIVE_SPANS]
    elif kind == "checkpoint":
        record.checkpoints.append({k: v for k, v in event.items() if k != "type"})
        del record.checkpoints[:-MOST_CHECKPOINTS]
    elif kind == "load":
        record.load.append(Load(*event["load"]))
        del record.load[:-MOST_LOADS]


def later(steps: Iterable[Step], device_s: float) -> list[Step]:
    """Steps of an attempt on the clock of the run: that of a device begins anew with each.

    Args:
        steps: of one attempt.
        device_s: what earlier attempts took on the declared device; 0.0 of a measured run.
    """
    return [step._replace(end_s=step.end_s + device_s) for step in steps]


def snapshot(record: RunRecord) -> RunRecord:
    """A copy that later events do not change."""
    seen = copy(record)
    seen.steps = list(record.steps)
    seen.spans = list(record.spans)
    seen.load = list(record.load)
    seen.checkpoints = list(record.checkpoints)
    seen.startup_s = dict(record.startup_s)
    seen.comm_bytes = {name: dict(sizes) for name, sizes in record.comm_bytes.items()}
    seen.memory_bytes = dict(record.memory_bytes)
    seen.emulation = dict(record.emulation)
    seen.recoveries = [dict(entry) for entry in record.recoveries]
    seen.attacks = list(record.attacks)
    seen.leaders = [dict(leader) for leader in record.leaders]
    return seen
