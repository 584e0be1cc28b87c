"""Runs side by side, and what may not be compared between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labkit.errors import SettingError
from labkit.runs.export import clock_of
from labkit.runs.record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one run.

    Attributes:
        run, workload, strategy, plan, status: as in the record.
        kind: measured, emulated or projected; never averaged with another.
        device: the declared one of an emulated run, else empty.
        devices: ranks.
        steps: that were done.
        throughput_samples_per_s, step_time_s: after the warm-up.
        speedup: throughput over that of the first run; ``None`` where the two may not be
            compared.
        ideal_speedup: over one declared device; ``None`` where no device is declared.
        comm_bytes: ``measured`` and ``formula``: bytes by kind, over ranks and steps.
        memory_bytes: ``measured`` and ``formula``: of the rank with most; ``None`` if unknown.
        attribution_s: mean seconds a rank spent in each part.
        wall_s: their sum.
        final_loss: of the last step; ``None`` without a step.
        accuracy: fraction on held-out samples; ``None`` where it was not measured.
        lateness: fraction by which an emulated run was late; ``None`` of others.
        trustworthy: whether that is little enough; ``None`` of others.
    """

    run: str
    workload: str
    strategy: str
    plan: Mapping[str, Any]
    status: str
    kind: str
    device: str
    devices: int
    steps: int
    throughput_samples_per_s: float
    step_time_s: float
    speedup: float | None
    ideal_speedup: float | None
    comm_bytes: Mapping[str, Mapping[str, int]]
    memory_bytes: Mapping[str, int | None]
    attribution_s: Mapping[str, float]
    wall_s: float
    final_loss: float | None
    accuracy: float | None
    lateness: float | None
    trustworthy: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs side by side.

    Attributes:
        rows: one a run, in the order given; speedup is over the first.
        remarks: what may not be compared, and why; empty when everything may.
    """

    rows: tuple[Row, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"rows": [asdict(row) for row in self.rows], "remarks": list(self.remarks)}


def compare(records: Sequence[RunRecord]) -> Comparison:
    """The figures of runs side by side.

    Runs of different workloads, or whose times are of different clocks (measured, emulated on a
    device), get no speedup over each other, and a remark says so.

    Args:
        records: at least one.
    Raises:
        SettingError: there is nothing to compare.
    """
    if not records:
        raise SettingError("nothing to compare; give at least one run")
    rows = tuple(_row(record, records[0]) for record in records)
    return Comparison(rows=rows, remarks=tuple(_remarks(records)))


def _row(record: RunRecord, first: RunRecord) -> Row:
    comparable = clock_of(record) == clock_of(first) and _task(record) == _task(first)
    base = first.throughput_samples_per_s
    throughput = record.throughput_samples_per_s
    measured = record.memory_bytes.get("measured") or record.memory_bytes_per_rank
    formula = [sum(parts.values()) for parts in record.memory_bytes.get("formula") or []]
    return Row(
        run=record.run,
        workload=record.workload["name"],
        strategy=record.strategy,
        plan=record.plan,
        status=record.status,
        kind=record.kind,
        device=record.emulation.get("device", ""),
        devices=record.world_size,
        steps=len(record.steps),
        throughput_samples_per_s=throughput,
        step_time_s=record.step_time_s,
        speedup=throughput / base if comparable and base and throughput else None,
        ideal_speedup=record.ideal.get("speedup"),
        comm_bytes=record.comm_bytes,
        memory_bytes={
            "measured": max(measured, default=None),
            "formula": max(formula, default=None),
        },
        attribution_s=record.attribution_s,
        wall_s=record.wall_s,
        final_loss=record.losses[-1] if record.steps else None,
        accuracy=record.accuracy.get("correct"),
        lateness=record.emulation.get("lateness"),
        trustworthy=record.emulation.get("trustworthy"),
    )


def _task(record: RunRecord) -> tuple[str, str, int]:
    """What was trained, on what: the throughput of another task says nothing about this one."""
    model = str(record.workload.get("model", ""))
    return record.workload["name"], model, record.num_samples


def _remarks(records: Sequence[RunRecord]) -> Iterator[str]:
    clocks = list(dict.fromkeys(clock_of(record) for record in records))
    if len(clocks) > 1:
        yield f"{' and '.join(clocks)}: times of different clocks are shown, not compared"
    names = list(dict.fromkeys(record.workload["name"] for record in records))
    if len(names) > 1:
        yield (
            f"different workloads ({', '.join(names)}): neither throughput nor loss can be compared"
        )
    elif len({_task(record) for record in records}) > 1:
        yield "different models or training samples under one name: shown, not compared"
    else:
        yield from _different_settings(records)
    for record in records:
        if record.emulation.get("trustworthy") is False:
            late = record.emulation.get("lateness") or 0.0
            yield f"{record.run} is UNTRUSTWORTHY: {late:.0%} late"
        if record.status != "done":
            yield f"{record.run} is {record.status} after {len(record.steps)} steps"


def _different_settings(records: Sequence[RunRecord]) -> Iterator[str]:
    """Settings of the workload that differ: the losses may differ for that reason alone."""
    settings = dict.fromkeys(name for record in records for name in record.workload)
    for name in settings:
        values = [record.workload.get(name) for record in records]
        known = [value for value in values if value is not None]
        if name not in ("model", "description") and any(value != known[0] for value in known):
            shown = ", ".join(dict.fromkeys(map(str, values)))
            yield f"{name} differs ({shown}): losses may differ for that reason"
