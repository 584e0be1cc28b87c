"""The record of one run as text: what ``labkit train`` and ``labkit runs show`` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.reports import describe_kind, describe_plan
from labkit.runs.attack_story import describe_attack
from labkit.runs.record import RunRecord
from labkit.runs.recovery_record import describe_recovery


def train_table(record: RunRecord) -> str:
    """A run's record in a screenful."""
    losses = record.losses
    attribution = "  ".join(f"{name} {s:.3g} s" for name, s in record.attribution_s.items())
    startup = "  ".join(f"{name} {s:.3f} s" for name, s in record.startup_s.items())
    rows: list[tuple[str, ...]] = [
        ("run", f"{record.run} ({record.status})"),
        ("kind", describe_kind(record.kind, record.emulation)),
        ("workload", f"{record.workload['name']}, global batch {record.workload['global_batch']}"),
        ("plan", f"{record.strategy}: {describe_plan(record.plan)}"),
        ("steps", f"{len(record.steps)} of {record.planned_steps}"),
    ]
    if losses:
        rows.append(("loss", f"{losses[0]:.4f} -> {losses[-1]:.4f}"))
    if record.accuracy:
        rows.append(
            ("accuracy", f"{record.accuracy['before']:.1%} -> {record.accuracy['correct']:.1%}")
        )
    ideal_s, ideal_speedup = record.ideal.get("step_time_s"), record.ideal.get("speedup")
    rows += [
        ("throughput", f"{record.throughput_samples_per_s:,.0f} samples/s"),
        (
            "step time",
            f"{record.step_time_s * 1e3:.4g} ms"
            + (f", ideal {ideal_s * 1e3:.4g} ms" if ideal_s else "")
            + (f" (ideal speedup {ideal_speedup:.2f})" if ideal_speedup else ""),
        ),
        ("start-up", startup),
        ("where the time went", attribution),
        ("communication", _traffic(record)),
        ("memory of a rank", _memory(record)),
        ("checkpoints", _checkpoints(record)),
        ("went on from", record.resumed.get("folder", "")),
        *(("attack", describe_attack(attack)) for attack in record.attacks),
        *(("leader", _leader(entry)) for entry in record.leaders),
        *(("recovery", describe_recovery(entry)) for entry in record.recoveries),
        ("repeats", record.repeats),
        ("error", record.error),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows if value)


def _leader(entry: Mapping[str, Any]) -> str:
    """One term: who led the ranks, since when, how long they had no leader, and why it ended."""
    ended = entry["ended"].replace("_", " ")
    return (
        f"term {entry['term']}: rank {entry['rank']}, elected at {entry['elected_at_s']:.1f} s "
        f"after {entry['election_s']:.2f} s without one"
        + (f", until: {ended}" if ended else ", leads")
    )


def _traffic(record: RunRecord) -> str:
    """Bytes of each kind that were counted, beside the formula where the two differ."""
    formula = record.comm_bytes.get("formula", {})
    texts = []
    for kind, size in record.comm_bytes.get("measured", {}).items():
        expected = formula.get(kind, size)
        beside = "" if expected == size else f" (formula {expected:,} B)"
        texts.append(f"{kind} {size:,} B{beside}")
    return "  ".join(texts) or "none"


def _checkpoints(record: RunRecord) -> str:
    """How many were written in how long, and which is the newest; and what went wrong."""
    complete = [entry for entry in record.checkpoints if "folder" in entry]
    failed = [entry for entry in record.checkpoints if "error" in entry]
    texts = []
    if complete:
        seconds, newest = sum(entry["seconds"] for entry in complete), complete[-1]
        texts.append(
            f"{len(complete)} in {seconds:.2f} s, the newest after step {newest['step']} "
            f"({newest['bytes']:,} B)"
        )
    if failed:
        texts.append(f"{len(failed)} failed: {failed[-1]['error']}")
    return "; ".join(texts)


def _memory(record: RunRecord) -> str:
    """Growth of the rank that grew most, beside what the formula says of the largest rank."""
    measured = record.memory_bytes.get("measured") or []
    formula = [sum(parts.values()) for parts in record.memory_bytes.get("formula") or []]
    texts = [f"grew by {max(measured) / 1e6:,.1f} MB"] if measured else []
    texts += [f"formula {max(formula) / 1e6:,.1f} MB"] if formula else []
    return ", ".join(texts)
