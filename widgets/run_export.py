"""A run's figures as files, for a spreadsheet and for Perfetto."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from labkit.runs.export import TRACE_FILE, save_chrome_trace, to_csv
from labkit.runs.record import RunRecord
from labkit.runs.store import RunStore

EXPORTS = "exports"  # beside the runs, since the store deletes only what it wrote itself


def export_csv(record: RunRecord, store: RunStore) -> list[Path]:
    """Write steps and spans as tables; returns their paths."""
    return list(to_csv(record, export_folder(store, record.run)))


def export_trace(record: RunRecord, store: RunStore) -> list[Path]:
    """Write the timeline as a Chrome trace; returns its path."""
    return [save_chrome_trace(record, export_folder(store, record.run) / TRACE_FILE)]


def export_folder(store: RunStore, name: str) -> Path:
    """Where the exports of a run, or of a comparison, go."""
    return store.folder / EXPORTS / name


def shown_paths(paths: Iterable[Path]) -> list[str]:
    """Paths as the notebook's folder sees them."""
    return [os.path.relpath(path) for path in paths]
