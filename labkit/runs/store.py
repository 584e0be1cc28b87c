"""A run's record on disk: JSON for what was found, Parquet for where the time went."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from labkit.errors import SettingError
from labkit.runs.record import RunRecord, Span, Step

RECORD_FILE = "record.json"
SPANS_FILE = "spans.parquet"


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
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(zip(Span._fields, columns, strict=True))), folder / SPANS_FILE)
        partial = folder / f"{RECORD_FILE}.partial"
        partial.write_text(json.dumps(values, indent=1))
        partial.replace(folder / RECORD_FILE)  # last: a record that is there is whole
    except OSError as error:
        raise SettingError(
            f"the record of run {record.run} cannot be written to {folder} ({error}); choose "
            "another folder"
        ) from error
    return folder


def load_record(folder: Path) -> RunRecord:
    """Read a record that ``save_record`` wrote.

    Raises:
        SettingError: the folder holds no readable record; the message says what is wrong.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = json.loads((folder / RECORD_FILE).read_text())
        values["steps"] = [Step(*step) for step in values["steps"]]
        table = pq.read_table(folder / SPANS_FILE).to_pydict()
        values["spans"] = [Span(*row) for row in zip(*table.values(), strict=True)]
        return RunRecord(**values)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise SettingError(
            f"{folder} holds no readable record ({type(error).__name__}: {error}); run it again, "
            "or choose another run"
        ) from error
