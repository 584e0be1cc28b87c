"""A comparison as files: its pictures, and its figures as one table."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.runs.compare import Comparison
from labkit.runs.curve import Curve
from labkit.runs.store import RunStore
from widgets.run_export import export_folder


def export_sweep(
    sweep: str, curve: Curve, pngs: Mapping[str, bytes], store: RunStore
) -> list[Path]:
    """Write a sweep's points and pictures; returns the paths.

    Args:
        sweep: identifier, which names the folder.
        curve: of the sweep.
        pngs: pictures by the name that their file gets.
        store: beside whose runs the folder is made.
    Raises:
        SettingError: the folder cannot be written.
    """
    about = {"workload": curve.workload, "device": curve.device, "time_scale": curve.time_scale}
    about |= {"scaling": curve.scaling, "num_cores": curve.num_cores}
    rows = [about | point.to_json() for point in curve.points]
    return _write(export_folder(store, sweep), "points.csv", rows, pngs)


def export_comparison(
    comparison: Comparison, pngs: Mapping[str, bytes], store: RunStore
) -> list[Path]:
    """Write the table and the pictures of stored runs; returns the paths.

    Raises:
        SettingError: the folder cannot be written.
    """
    rows = [asdict(row) for row in comparison.rows]
    folder = export_folder(store, f"compare-{time.strftime('%Y%m%d-%H%M%S')}")
    return _write(folder, "runs.csv", rows, pngs)


def _write(
    folder: Path, table: str, rows: Sequence[Mapping[str, Any]], pngs: Mapping[str, bytes]
) -> list[Path]:
    paths = [folder / table, *(folder / f"{name}.png" for name, png in pngs.items() if png)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with paths[0].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            writer.writerows(map(_cells, rows))
        for name, png in pngs.items():
            if png:
                (folder / f"{name}.png").write_bytes(png)
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be written ({error}); start the lab in another folder"
        ) from error
    return paths


def _cells(row: Mapping[str, Any]) -> Iterable[Any]:
    """What has parts is written as JSON, so that one row stays one run."""
    return [
        json.dumps(value, default=list) if isinstance(value, dict | list | tuple) else value
        for value in row.values()
    ]
