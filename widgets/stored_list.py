"""What is kept, as lines of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.figures.run_names import plan_name
from labkit.runs.curve_store import CurveEntry, CurveStore
from labkit.runs.store import Entry, RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The folder as it was read, newest first; damaged entries among the others."""

    runs: tuple[Entry, ...]
    sweeps: tuple[CurveEntry, ...]


def read_listing(store: RunStore, curves: CurveStore) -> Listing:
    """Read the folder; damaged records are entries that say so.

    Raises:
        SettingError: the folder is a file.
    """
    return Listing(runs=store.list(), sweeps=curves.list())


def choices(entries: Sequence[Entry | CurveEntry]) -> list[tuple[str, str]]:
    """A line for each entry, and its identifier."""
    return [
        (_run_line(entry), entry.run)
        if isinstance(entry, Entry)
        else (_sweep_line(entry), entry.sweep)
        for entry in entries
    ]


def damaged_note(listing: Listing) -> str:
    """Why some entries cannot be read; empty where all can."""
    damages = [entry.damage for entry in listing.runs if entry.damage]
    damages += [entry.damage for entry in listing.sweeps if entry.damage]
    if not damages:
        return ""
    many = f" and {len(damages) - 1} more" if len(damages) > 1 else ""
    return f"{len(damages)} damaged: {damages[0]}{many}. Mark and Delete removes such a record."


def _run_line(entry: Entry) -> str:
    when = f"{entry.when:%d %b %H:%M:%S}"
    if entry.damage:
        return f"{when} | DAMAGED {entry.run}"
    parts = [
        when,
        entry.workload,
        plan_name(entry.plan),
        _kind(entry.kind, str(entry.emulation.get("device", "")))
        + (" UNTRUSTWORTHY" if entry.emulation.get("trustworthy") is False else ""),
        f"{entry.throughput_samples_per_s:,.0f} samples/s",
    ]
    if entry.final_loss is not None:
        parts.append(f"loss {entry.final_loss:.3g}")
    if entry.status != "done":
        parts.append(entry.status)
    if entry.note:
        parts.append(f"“{entry.note}”")
    return " | ".join(parts)


def _sweep_line(entry: CurveEntry) -> str:
    when = f"{entry.when:%d %b %H:%M:%S}"
    if entry.damage:
        return f"{when} | DAMAGED {entry.sweep}"
    return " | ".join(
        [
            when,
            entry.workload,
            ", ".join(entry.strategies),
            f"{', '.join(map(str, entry.devices))} devices",
            entry.kind,
            f"best speedup {entry.best_speedup:.2f}",
        ]
    )


def _kind(kind: str, device: str) -> str:
    return f"{kind} on {device}" if device else kind
