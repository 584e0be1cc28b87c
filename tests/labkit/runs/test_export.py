"""Records for other programs: tables that add up, traces that keep the format's rules."""

from __future__ import annotations

import csv
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.export import chrome_trace, save_chrome_trace, to_csv
from labkit.runs.record import COMM_KINDS, RunRecord, Span

MakeRun = Callable[..., RunRecord]
Event = dict[str, Any]


def span(
    kind: str, start_s: float, end_s: float, *, rank: int = 0, microbatch: int = -1, size: int = 0
) -> Span:
    return Span(rank, 0, kind, kind, start_s, end_s - start_s, microbatch, size, 0)


def nanoseconds(time_us: float) -> int:
    """As Perfetto reads a time: microseconds to nanoseconds, rounded down."""
    assert isinstance(time_us, (int, float))
    return int(time_us * 1000)


def check_trace(trace: dict[str, Any]) -> None:
    """The rules of the format that a viewer relies on, and that a text of JSON holds it."""
    trace = json.loads(json.dumps(trace, allow_nan=False))
    assert trace["displayTimeUnit"] in ("ms", "ns")
    threads: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    pids_of_tid: dict[int, set[int]] = defaultdict(set)
    named: set[tuple[str, int, int]] = set()
    for event in trace["traceEvents"]:
        assert event["ph"] in ("X", "C", "M")
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert event["pid"] > 0
        if event["ph"] == "M":
            (key,) = event["args"]
            expected = {"name": str, "labels": str, "sort_index": int}
            assert isinstance(event["args"][key], expected[key])
            named.add((event["name"], event["pid"], event.get("tid", 0)))
            continue
        assert nanoseconds(event["ts"]) >= 0
        if event["ph"] == "C":
            assert event["args"]
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
            continue
        assert event["tid"] > 0
        pids_of_tid[event["tid"]].add(event["pid"])
        start, length = nanoseconds(event["ts"]), nanoseconds(event["dur"])
        assert length >= 0
        threads[(event["pid"], event["tid"])].append((start, start + length))
    assert all(len(pids) == 1 for pids in pids_of_tid.values()), "threads are numbered over all"
    for (pid, tid), intervals in threads.items():
        assert ("thread_name", pid, tid) in named
        assert ("process_name", pid, 0) in named
        check_nesting(intervals)


def check_nesting(intervals: list[tuple[int, int]]) -> None:
    """Of two spans of a thread, one contains the other, or they do not overlap."""
    open_ends: list[int] = []
    for start, end in sorted(intervals, key=lambda i: (i[0], -i[1])):
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        assert not open_ends or end <= open_ends[-1], f"{(start, end)} crosses {open_ends[-1]}"
        open_ends.append(end)


def of_phase(trace: dict[str, Any], phase: str) -> list[Event]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def names_of(trace: dict[str, Any], what: str) -> list[str]:
    return [event["args"]["name"] for event in of_phase(trace, "M") if event["name"] == what]


def test_the_validator_itself_refuses_crossing_spans() -> None:
    with pytest.raises(AssertionError, match="crosses"):
        check_nesting([(0, 10), (5, 12)])
    check_nesting([(0, 10), (2, 8), (8, 10), (10, 12)])


def test_a_rank_is_two_threads_of_its_host(make_run: MakeRun) -> None:
    spans = [
        span("forward", 0.5, 1.0, rank=1, microbatch=3),
        span("comm_tp", 0.6, 0.7, rank=1, size=400),
    ]
    record = make_run(
        spans=spans, devices=[{"host": "left"}, {"host": "right"}], host={"name": "here"}
    )
    trace = chrome_trace(record)
    check_trace(trace)
    assert names_of(trace, "process_name") == ["left (measured)", "right (measured)"]
    assert names_of(trace, "thread_name") == [
        "rank 0 compute", "rank 0 communication", "rank 1 compute", "rank 1 communication",
    ]  # fmt: skip
    forward, tensor = of_phase(trace, "X")
    assert (forward["ts"], forward["dur"], forward["cat"]) == (500_000, 500_000, "forward")
    assert forward["name"] == "forward 3"
    assert forward["args"] == {"step": 0, "microbatch": 3, "bytes": 0, "stage": 0}
    assert tensor["args"]["bytes"] == 400
    assert (forward["pid"], tensor["pid"]) == (2, 2)
    assert tensor["tid"] == forward["tid"] + 1


def test_buckets_that_overlap_get_threads_of_their_own(make_run: MakeRun) -> None:
    spans = [
        span("backward", 0, 10),
        span("comm_dp", 1, 5, size=8),
        span("comm_dp", 4, 8, size=8),
        span("comm_dp", 5, 9, size=8),
    ]
    trace = chrome_trace(make_run(plan=Plan(), spans=spans))
    check_trace(trace)
    assert names_of(trace, "thread_name") == [
        "rank 0 compute", "rank 0 communication", "rank 0 communication 2",
    ]  # fmt: skip
    buckets = [event for event in of_phase(trace, "X") if event["cat"] == "comm_dp"]
    assert [event["tid"] for event in sorted(buckets, key=lambda e: e["ts"])] == [2, 3, 2]


def test_bytes_are_counted_up_for_each_host(make_run: MakeRun) -> None:
    spans = [
        span("comm_dp", 0, 3, size=100),
        span("comm_dp", 0, 2, rank=1, size=10),
        span("comm_tp", 2, 4, size=1),
        span("forward", 0, 1),
    ]
    trace = chrome_trace(make_run(spans=spans, steps=[]))
    counts = [(event["ts"], event["args"]) for event in of_phase(trace, "C")]
    assert counts == [
        (0, {"comm_dp": 0, "comm_tp": 0}),
        (2e6, {"comm_dp": 10, "comm_tp": 0}),
        (3e6, {"comm_dp": 110, "comm_tp": 0}),
        (4e6, {"comm_dp": 110, "comm_tp": 1}),
    ]


def test_the_loss_is_a_counter_without_what_json_cannot_hold(make_run: MakeRun) -> None:
    record = make_run()
    record.steps[1] = record.steps[1]._replace(loss=float("nan"))
    trace = chrome_trace(record)
    check_trace(trace)
    losses = [e["args"]["loss"] for e in of_phase(trace, "C") if e["name"] == "loss"]
    assert losses == [0.7, 0.5]


def test_an_emulated_run_says_so_and_has_the_declared_hosts(
    make_run: MakeRun, emulation: dict[str, Any]
) -> None:
    plan = Plan(dp=8)
    spans = [span("forward", 0, 1, rank=rank) for rank in range(8)]
    record = make_run(plan=plan, kind="emulated", emulation=emulation, spans=spans)
    trace = chrome_trace(record)
    check_trace(trace)
    assert names_of(trace, "process_name") == [
        "demo host 0 (emulated demo)", "demo host 1 (emulated demo)",
    ]  # fmt: skip
    pids = [event["pid"] for event in of_phase(trace, "X")]
    assert pids == [1, 1, 1, 1, 2, 2, 2, 2]
    assert trace["otherData"]["kind"] == "emulated"
    assert trace["otherData"]["emulation"] == emulation


def test_a_device_that_is_not_bundled_is_one_host(
    make_run: MakeRun, emulation: dict[str, Any]
) -> None:
    record = make_run(kind="emulated", emulation=emulation | {"device": "mine"})
    assert names_of(chrome_trace(record), "process_name") == ["mine host 0 (emulated mine)"]


def test_times_before_the_start_are_shifted(make_run: MakeRun) -> None:
    trace = chrome_trace(make_run(spans=[span("data", -0.5, 0.5)]))
    check_trace(trace)
    assert of_phase(trace, "X")[0]["ts"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_any_spans_keep_the_rules_and_none_is_lost(make_run: MakeRun, seed: int) -> None:
    generator = np.random.default_rng(seed)
    kinds = ["forward", "backward", "optimizer", "data", "idle", *COMM_KINDS]
    spans = []
    for rank in range(4):
        for start_s in np.cumsum(generator.uniform(0, 1e-4, 300)):
            length_s = generator.choice([0.0, 1e-9, 3.3e-7, 1e-4, 1e-3])
            kind = str(generator.choice(kinds))
            spans.append(span(kind, float(start_s), float(start_s + length_s), rank=rank, size=4))
    trace = chrome_trace(make_run(plan=Plan(dp=2, pp=2), spans=spans))
    check_trace(trace)
    assert len(of_phase(trace, "X")) == len(spans)


def test_spans_that_touch_do_not_cross(make_run: MakeRun) -> None:
    """An emulated rank begins an operation at the very time at which the last one ended."""
    ends_s = np.cumsum(np.full(1000, 0.1 / 3))
    spans = [span("forward", float(a), float(b)) for a, b in itertools.pairwise(ends_s)]
    trace = chrome_trace(make_run(plan=Plan(), spans=spans))
    check_trace(trace)
    assert names_of(trace, "thread_name") == ["rank 0 compute", "rank 0 communication"]


def test_a_trace_is_saved_as_json(tmp_path: Path, make_run: MakeRun) -> None:
    path = save_chrome_trace(make_run(), tmp_path / "new" / "trace.json")
    check_trace(json.loads(path.read_text()))


def test_tables_hold_every_step_and_span(
    tmp_path: Path, make_run: MakeRun, emulation: dict[str, Any]
) -> None:
    steps, spans = to_csv(make_run(), tmp_path / "out")
    with steps.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [0.7, 0.6, 0.5]
    assert rows[0]["clock"] == "measured"
    with spans.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["0", "1"]
    assert list(rows[0]) == [*Span._fields, "clock"]
    to_csv(make_run(kind="emulated", emulation=emulation), tmp_path / "out")
    assert steps.read_text().splitlines()[1].endswith(",emulated demo")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, make_run: MakeRun) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written"):
        to_csv(make_run(), tmp_path / "file")
    with pytest.raises(SettingError, match="cannot be written"):
        save_chrome_trace(make_run(), tmp_path / "file" / "trace.json")
