"""One record as files: JSON for what was found, Parquet for where the time went."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from labkit.errors import SettingError
from labkit.runs.record import Kind, Load, RunRecord, Span, Step

RECORD_FILE = "record.json"
SPANS_FILE = "spans.parquet"
PARTIAL = ".partial"  # ends the name of a file that is still being written

_PARQUET_MARK = b"PAR1"  # first and last bytes of a whole Parquet file
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)


def save_record(record: RunRecord, runs: Path) -> Path:
    """Write a record to its own folder below ``runs``; returns that folder.

    Raises:
        SettingError: the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = runs / record.run
    values = {f.name: getattr(record, f.name) for f in fields(record) if f.name != "spans"}
    columns = list(zip(*record.spans, strict=True)) or [()] * len(Span._fields)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = partial_path(folder / SPANS_FILE)
        pq.write_table(pa.table(dict(zip(Span._fields, columns, strict=True))), partial)
        partial.replace(folder / SPANS_FILE)
        # Last: a record that is there is whole.
        write_whole(folder / RECORD_FILE, json.dumps(values, indent=1))
    except OSError as error:
        raise SettingError(
            f"the record of run {record.run} cannot be written to {folder} ({error}); choose "
            "another folder"
        ) from error
    return folder


def load_record(folder: Path) -> RunRecord:
    """Read a record that ``save_record`` wrote, in this version or another.

    What an earlier version did not write takes its default; what a later one added is left out.

    Raises:
        SettingError: the folder holds no readable record; the message says what is wrong.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = load_without_spans(folder)
    try:
        table = pq.read_table(folder / SPANS_FILE, columns=list(Span._fields)).to_pydict()
        columns = [table[name] for name in Span._fields]
        record.spans = [Span(*row) for row in zip(*columns, strict=True)]
    except (*_UNREADABLE, pa.ArrowException) as error:
        raise _unreadable(folder, error) from error
    return record


def load_without_spans(folder: Path) -> RunRecord:
    """Read a record quickly: its JSON alone, and whether the file of spans is whole.

    Raises:
        SettingError: as ``load_record``.
    """
    try:
        record = record_from_values(json.loads((folder / RECORD_FILE).read_text()))
        _check_parquet(folder / SPANS_FILE)
    except _UNREADABLE as error:
        raise _unreadable(folder, error) from error
    return record


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that every reader sees it whole, the old one or the new one."""
    partial = partial_path(path)
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def partial_path(path: Path) -> Path:
    """Where a file is written until it is whole; another name for each writer."""
    return path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:6]}{PARTIAL}")


def record_from_values(values: dict[str, Any]) -> RunRecord:
    """A record from plain values; raises one of ``_UNREADABLE`` where they are not a record's."""
    known = {f.name for f in fields(RunRecord)}
    record = RunRecord(**{name: value for name, value in values.items() if name in known})
    record.steps = [Step._make(step[: len(Step._fields)]) for step in record.steps]
    record.load = [Load._make(load[: len(Load._fields)]) for load in record.load]
    if record.kind not in get_args(Kind):
        raise ValueError(f"kind {record.kind!r}")
    if not all(isinstance(d, dict) for d in (record.emulation, record.ideal, record.comm_bytes)):
        raise TypeError("emulation, ideal or comm_bytes")
    happened = (*record.recoveries, *record.leaders, *record.attacks)
    if not all(isinstance(entry, dict) for entry in happened):
        raise TypeError("recoveries, leaders or attacks")
    if not isinstance(record.workload["name"], str):
        raise TypeError("name of the workload")
    for axis in ("dp", "pp", "tp"):
        if not isinstance(record.plan[axis], int):
            raise TypeError(f"{axis} of the plan")
    for step in record.steps:
        float(step.loss + step.samples + step.seconds + step.end_s)  # a TypeError where one is text
    return record


def _check_parquet(path: Path) -> None:
    """Raise a ValueError for a Parquet file that was cut short."""
    length = len(_PARQUET_MARK)
    with path.open("rb") as file:
        head = file.read(length)
        file.seek(max(file.seek(0, os.SEEK_END) - length, 0))
        tail = file.read()
    if head != _PARQUET_MARK or tail != _PARQUET_MARK:
        raise ValueError(f"{path.name} is cut short")


def _unreadable(folder: Path, error: Exception) -> SettingError:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        reason = f"{Path(error.filename or RECORD_FILE).name} is missing: half-written"
    return SettingError(
        f"{folder} holds no readable record ({reason}); run it again, or choose another run"
    )
