"""A record for other programs: tables for a spreadsheet, a trace for Perfetto."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.runs.record import COMM_KINDS, RunRecord, Span, Step

STEPS_FILE = "steps.csv"
SPANS_CSV_FILE = "spans.csv"
TRACE_FILE = "trace.json"

_NS_PER_S = 1_000_000_000


def to_csv(record: RunRecord, folder: Path) -> tuple[Path, Path]:
    """Write the steps and the spans of a run as tables, times in seconds.

    The last column, ``clock``, says whose seconds these are: ``measured`` on this machine, or
    ``emulated DEVICE``.

    Args:
        record: of a run.
        folder: made if it is not there.
    Returns:
        The paths of ``steps.csv`` and ``spans.csv``.
    Raises:
        SettingError: the folder cannot be written.
    """
    steps, spans = folder / STEPS_FILE, folder / SPANS_CSV_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_rows(steps, Step._fields, record.steps, clock_of(record))
        _write_rows(spans, Span._fields, record.spans, clock_of(record))
    except OSError as error:
        raise _unwritable(folder, error) from error
    return steps, spans


def save_chrome_trace(record: RunRecord, path: Path) -> Path:
    """Write a run's timeline as a trace that ui.perfetto.dev opens; returns the path.

    Raises:
        SettingError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(chrome_trace(record), allow_nan=False))
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def chrome_trace(record: RunRecord) -> dict[str, Any]:
    """A run's timeline in the Chrome trace event format.

    A process stands for a host, and a rank is two threads of it: what it computes, and what it
    communicates. Spans of one thread may contain but not cross each other, so communication that
    overlaps other communication of its rank (buckets of gradients) goes to a further thread.
    Counters show the bytes of the messages of a host's ranks, and the loss.

    Returns:
        A JSON object with ``traceEvents``, ``displayTimeUnit`` and ``otherData``; times are
        microseconds since the start of the record.
    Source: Trace Event Format, Google 2016, docs.google.com/document/d/
        1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, as far as Perfetto imports it.
    """
    origin_s = min([0.0, *(span.start_s for span in record.spans)])  # no time may be negative
    hosts = _hosts(record)
    processes = {host: 1 + i for i, host in enumerate(dict.fromkeys(hosts))}
    pids = [processes[host] for host in hosts]
    events = [*_process_names(record, processes), *_rank_events(record, pids, origin_s)]
    events += _byte_counters(record, pids, origin_s)
    events += _loss_counter(record, origin_s)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "run": record.run,
            "kind": record.kind,
            "clock": clock_of(record),
            "emulation": record.emulation,
            "workload": record.workload["name"],
            "strategy": record.strategy,
            "plan": record.plan,
            "versions": record.versions,
        },
    }


def clock_of(record: RunRecord) -> str:
    """Whose seconds the times of a record are: ``measured`` or such as ``emulated demo``."""
    return f"{record.kind} {record.emulation.get('device', '')}".strip()


def _hosts(record: RunRecord) -> list[str]:
    """The host of each rank; of an emulated run the declared one."""
    if record.kind == "emulated":
        from labkit.emulate.device import DEVICES, find_device

        name = record.emulation.get("device", "")
        ranks_per_host = find_device(name).devices_per_host if name in DEVICES else 1 << 30
        return [f"{name} host {rank // ranks_per_host}" for rank in range(record.world_size)]
    here = str(record.host.get("name", "host"))
    known = [str(device.get("host", here)) for device in record.devices]
    return known + [here] * (record.world_size - len(known))


def _process_names(record: RunRecord, processes: dict[str, int]) -> Iterator[dict[str, Any]]:
    for host, pid in processes.items():
        yield _metadata("process_name", f"{host} ({clock_of(record)})", pid)
        yield _metadata("process_labels", f"{record.strategy}, run {record.run}", pid)
        yield _metadata("process_sort_index", pid, pid)


def _rank_events(record: RunRecord, pids: list[int], origin_s: float) -> Iterator[dict[str, Any]]:
    """Names and spans of each rank's threads; thread numbers are unique over all hosts."""
    tid = 0
    for rank, pid in enumerate(pids):
        spans = [span for span in record.spans if span.rank == rank]
        communicates = [span for span in spans if span.kind in COMM_KINDS]
        computes = [span for span in spans if span.kind not in COMM_KINDS]
        for what, some in (("compute", computes), ("communication", communicates)):
            for lane, events in enumerate(_lanes(some, origin_s) or [[]]):
                tid += 1
                more = f" {lane + 1}" if lane else ""
                yield _metadata("thread_name", f"rank {rank} {what}{more}", pid, tid)
                yield _metadata("thread_sort_index", tid, pid, tid)
                yield from ({**event, "pid": pid, "tid": tid} for event in events)


def _lanes(spans: Iterable[Span], origin_s: float) -> list[list[dict[str, Any]]]:
    """Complete events of spans, in as few lanes as let no two of a lane cross."""
    lanes: list[list[dict[str, Any]]] = []
    open_ends: list[list[int]] = []  # of each lane: ends of the spans around now, innermost last
    for span in sorted(spans, key=lambda s: (s.start_s, -s.duration_s)):
        start_ns = _nanoseconds(span.start_s - origin_s)
        end_ns = max(start_ns, _nanoseconds(span.start_s + span.duration_s - origin_s))
        for ends in open_ends:
            while ends and ends[-1] <= start_ns:
                ends.pop()
        fits = (i for i, ends in enumerate(open_ends) if not ends or end_ns <= ends[-1])
        lane = next(fits, len(lanes))
        if lane == len(lanes):
            lanes.append([])
            open_ends.append([])
        open_ends[lane].append(end_ns)
        lanes[lane].append(_complete_event(span, start_ns, end_ns))
    return lanes


def _complete_event(span: Span, start_ns: int, end_ns: int) -> dict[str, Any]:
    number = f" {span.microbatch}" if span.microbatch >= 0 else ""
    return {
        "ph": "X",
        "cat": span.kind,
        "name": f"{span.name}{number}",
        "ts": _microseconds(start_ns),
        "dur": _microseconds(end_ns - start_ns),
        "args": {
            "step": span.step,
            "microbatch": span.microbatch,
            "bytes": span.bytes,
            "stage": span.stage,
        },
    }


def _byte_counters(record: RunRecord, pids: list[int], origin_s: float) -> Iterator[dict[str, Any]]:
    """The bytes of the messages that each host's ranks have seen, at the end of each of them.

    A message between two ranks of which both show a span counts on both sides.
    """
    kinds = [kind for kind in COMM_KINDS if any(span.kind == kind for span in record.spans)]
    for pid in dict.fromkeys(pids) if kinds else ():
        totals = dict.fromkeys(kinds, 0)
        yield _counter("bytes", pid, 0.0, totals)
        sent = (s for s in record.spans if s.kind in totals and s.bytes and pids[s.rank] == pid)
        for span in sorted(sent, key=lambda s: s.start_s + s.duration_s):
            totals[span.kind] += span.bytes
            yield _counter("bytes", pid, span.start_s + span.duration_s - origin_s, totals)


def _loss_counter(record: RunRecord, origin_s: float) -> Iterator[dict[str, Any]]:
    for step in record.steps:
        if math.isfinite(step.loss):
            yield _counter("loss", 1, step.end_s - origin_s, {"loss": step.loss})


def _counter(name: str, pid: int, time_s: float, values: dict[str, Any]) -> dict[str, Any]:
    ts = _microseconds(max(_nanoseconds(time_s), 0))
    return {"ph": "C", "name": name, "pid": pid, "ts": ts, "args": dict(values)}


def _metadata(what: str, value: Any, pid: int, tid: int | None = None) -> dict[str, Any]:
    """A name, a label or a place in the order, of a process or of a thread."""
    key = {"name": "name", "labels": "labels", "index": "sort_index"}[what.rpartition("_")[2]]
    thread = {} if tid is None else {"tid": tid}
    return {"ph": "M", "name": what, "pid": pid, **thread, "args": {key: value}}


def _nanoseconds(time_s: float) -> int:
    return round(time_s * _NS_PER_S)


def _microseconds(time_ns: int) -> float:
    """The format's unit, such that a reader who rounds down to nanoseconds gets them back."""
    time_us = time_ns / 1000
    return time_us if int(time_us * 1000) == time_ns else math.nextafter(time_us, math.inf)


def _write_rows(
    path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]], clock: str
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*names, "clock"))
        writer.writerows((*row, clock) for row in rows)


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError(f"{path} cannot be written ({error}); choose another folder")
