"""The recorder keeps what it is told, in order, and no more than its capacity."""

from __future__ import annotations

import itertools

import pytest

from labkit.runs.record import Span
from labkit.train.spans import SpanRecorder


def make_recorder(capacity: int = 20_000) -> SpanRecorder:
    """A recorder whose clock ticks a second at each look."""
    ticks = itertools.count()
    return SpanRecorder(lambda: float(next(ticks)), rank=3, stage=1, capacity=capacity)


def test_a_span_says_who_when_and_what() -> None:
    recorder = make_recorder()
    recorder.step = 7
    with recorder.span("forward", "forward", microbatch=2):
        pass
    assert recorder.spans == [Span(3, 1, "forward", "forward", 0.0, 1.0, 2, 0, 7)]


def test_add_takes_a_given_end_and_bytes() -> None:
    recorder = make_recorder()
    recorder.add("comm_dp", "bucket 0", 5.0, end_s=7.5, num_bytes=64)
    (span,) = recorder.spans
    assert (span.start_s, span.duration_s, span.bytes, span.microbatch) == (5.0, 2.5, 64, -1)


def test_a_block_that_raises_records_nothing() -> None:
    recorder = make_recorder()
    with pytest.raises(KeyError), recorder.span("forward", "forward"):
        raise KeyError
    assert recorder.spans == []


def test_old_spans_are_dropped_and_counted_but_their_bytes_stay() -> None:
    recorder = make_recorder(capacity=10)
    for i in range(25):
        recorder.add("comm_tp", str(i), 0.0, num_bytes=4)
        recorder.count_bytes("comm_tp", 4)
    assert [span.name for span in recorder.spans] == [str(i) for i in range(15, 25)]
    assert recorder.num_dropped == 15
    assert recorder.comm_bytes == {"comm_tp": 100}


def test_take_new_gives_each_span_once_and_only_the_newest() -> None:
    recorder = make_recorder(capacity=10)
    for i in range(3):
        recorder.add("data", str(i), 0.0)
    assert [span.name for span in recorder.take_new(200)] == ["0", "1", "2"]
    assert recorder.take_new(200) == []
    for i in range(3, 9):
        recorder.add("data", str(i), 0.0)
    assert [span.name for span in recorder.take_new(4)] == ["5", "6", "7", "8"]
    assert recorder.take_new(4) == []


class LateClock:
    """A GPU that gets to each mark ten seconds after the host set it; ticks once a look."""

    def __init__(self) -> None:
        self.ticks = itertools.count()
        self.settled = 0

    def __call__(self) -> float:
        return float(next(self.ticks))

    def settle(self) -> None:
        self.settled += 1

    def when_passed(self, now_s: float) -> float:
        return now_s + 10.0 if now_s % 2 == 1 else now_s  # only ends are late


def test_spans_of_a_gpu_are_kept_by_its_own_time_once_it_is_settled() -> None:
    clock = LateClock()
    recorder = SpanRecorder(clock, rank=0, clock=clock)  # type: ignore[arg-type]
    with recorder.span("forward", "forward"):
        pass
    recorder.add("backward", "backward", 2.0, end_s=3.0)
    assert recorder.take_new(200) == [], "when the GPU was done is not known yet"
    recorder.settle()
    assert [(s.start_s, s.duration_s) for s in recorder.take_new(200)] == [(0.0, 11.0), (2.0, 11.0)]
    recorder.add("optimizer", "sgd", 4.0, end_s=5.0)
    assert recorder.spans[-1].duration_s == 11.0, "whoever asks for all has them settled"
    assert (recorder.num_dropped, clock.settled) == (0, 2)
