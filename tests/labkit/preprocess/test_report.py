"""The report is plain JSON at any time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from labkit.preprocess.report import Report, plain, read_report, write_report


def test_numpy_and_nan_become_plain_values() -> None:
    value = {1: (np.float32(0.5), np.nan, np.int64(3)), "a": np.array([1.0, np.inf]), "b": True}
    assert plain(value) == {"1": [0.5, None, 3], "a": [1.0, None], "b": True}
    json.dumps(plain(value), allow_nan=False)


def test_steps_are_timed_and_added(tmp_path: Path) -> None:
    report = Report()
    report.begin_step()
    report.end_step("cleaning", rows_in=np.int64(3), rows_out=2, note="x", details={}, picture={})
    values = report.finish(rows_out=2, shards=1)
    (step,) = values["steps"]
    assert (step["name"], step["rows_in"], step["rows_out"]) == ("cleaning", 3, 2)
    assert 0 <= step["seconds"] <= values["seconds"]
    write_report(str(tmp_path), values)
    assert read_report(str(tmp_path)) == values
