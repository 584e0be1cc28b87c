"""Every instant goes to one part, and the parts add up to the wall time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labkit.runs.attribution import PARTS, attribute, exclusive_pieces
from labkit.runs.record import CHECKPOINT, Span
from labkit.train.job import RankResult
from labkit.train.strategies.messages import POST


def span(
    kind: str, start_s: float, end_s: float, *, rank: int = 0, stage: int = 0, name: str = "",
    microbatch: int = -1, num_bytes: int = 0, step: int = 0,
) -> Span:  # fmt: skip
    return Span(
        rank, stage, kind, name or kind, start_s, end_s - start_s, microbatch, num_bytes, step
    )


def result(
    spans: list[Span], *, rank: int = 0, replica: int = 0, stage: int = 0, tensor_rank: int = 0,
    start_s: float = 0.0, ends_s: tuple[float, ...] = (10.0,), num_dropped: int = 0,
) -> RankResult:  # fmt: skip
    return RankResult(
        rank=rank, replica=replica, stage=stage, tensor_rank=tensor_rank, steps=[],
        step_ends_s=list(ends_s), loop_start_s=start_s, spans=spans,
        num_dropped_spans=num_dropped, comm_bytes={}, comm_bytes_formula={}, memory_bytes=0,
    )  # fmt: skip


def test_a_single_rank_computes_reads_and_has_a_rest() -> None:
    spans = [span("data", 0, 1), span("forward", 1, 4), span("backward", 4, 9)]
    shares, wall_s = attribute([result(spans)])
    assert tuple(shares) == PARTS
    assert wall_s == 10.0
    assert shares["compute"] == pytest.approx(8.0)
    assert shares["data_wait"] == pytest.approx(1.0)
    assert shares["other"] == pytest.approx(1.0)


def test_communication_behind_computing_is_not_exposed() -> None:
    spans = [span("backward", 0, 6), span("comm_dp", 2, 9, num_bytes=4, name="bucket 0")]
    shares, _ = attribute([result(spans)])
    assert shares["compute"] == pytest.approx(6.0)
    assert shares["exposed_communication"] == pytest.approx(3.0)


def test_waiting_for_the_slower_replica_is_imbalance() -> None:
    def rank(number: int, ready_s: float) -> RankResult:
        spans = [
            span("backward", 0, ready_s, rank=number),
            span("comm_dp", ready_s, 9, rank=number, num_bytes=4, name="bucket 0"),
        ]
        return result(spans, rank=number, replica=number, ends_s=(9.0,))

    shares, wall_s = attribute([rank(0, 4.0), rank(1, 7.0)])
    assert wall_s == 9.0
    assert shares["compute"] == pytest.approx((4 + 7) / 2)
    assert shares["imbalance"] == pytest.approx(3 / 2)  # rank 0 from 4 to 7
    assert shares["exposed_communication"] == pytest.approx(2.0)  # both from 7 to 9


def test_a_tensor_collective_interrupts_the_computing_around_it() -> None:
    def rank(number: int, enter_s: tuple[float, float]) -> RankResult:
        ends_s = (3.0, 8.0)
        spans = [span("forward", 0, 10, rank=number)] + [
            span("comm_tp", a, b, rank=number, name="output", num_bytes=4)
            for a, b in zip(enter_s, ends_s, strict=True)
        ]
        return result(spans, rank=number, tensor_rank=number)

    shares, _ = attribute([rank(0, (1.0, 7.0)), rank(1, (2.0, 6.0))])
    assert shares["compute"] == pytest.approx(((10 - 2 - 1) + (10 - 1 - 2)) / 2)
    assert shares["imbalance"] == pytest.approx((1.0 + 1.0) / 2)  # 1 to 2 here, 6 to 7 there
    assert shares["exposed_communication"] == pytest.approx((1 + 1 + 1 + 1) / 2)


def test_a_stage_waits_in_a_bubble_until_its_neighbour_has_computed() -> None:
    first = [
        span("forward", 0, 3, microbatch=0),
        span("comm_pp", 3, 8, microbatch=0, name="receive gradient", num_bytes=4),
        span("backward", 8, 10, microbatch=0),
    ]
    second = [
        span("comm_pp", 0, 4, rank=1, stage=1, microbatch=0, name="receive activation"),
        span("forward", 4, 5, rank=1, stage=1, microbatch=0),
        span("backward", 5, 7, rank=1, stage=1, microbatch=0),
        span("idle", 7, 10, rank=1, stage=1, name="report"),
    ]  # fmt: skip
    report = [span("idle", 10, 11, name="report")]
    shares, _ = attribute([result(first + report), result(second, rank=1, stage=1, ends_s=(7.0,))])
    assert shares["compute"] == pytest.approx((5 + 3) / 2)
    # Stage 0 until the backward of stage 1 ended at 7, stage 1 until the forward of stage 0
    # ended at 3, and again at the end until stage 0 had drained.
    assert shares["bubble"] == pytest.approx((4 + 3 + 3) / 2)
    assert shares["exposed_communication"] == pytest.approx((1 + 1) / 2)
    assert shares["imbalance"] == 0.0


def test_a_rank_with_several_stages_waits_for_the_one_that_it_needs() -> None:
    first = [
        span("forward", 0, 2, microbatch=0),
        span("comm_pp", 2, 7, stage=2, microbatch=0, name="receive activation", num_bytes=4),
        span("forward", 7, 9, stage=2, microbatch=0),
    ]
    second = [
        span("comm_pp", 0, 3, rank=1, stage=1, microbatch=0, name="receive activation"),
        span("forward", 3, 6, rank=1, stage=1, microbatch=0),
        span("comm_pp", 6, 10, rank=1, stage=3, microbatch=0, name="receive activation"),
    ]
    shares, _ = attribute([result(first), result(second, rank=1, stage=1)])
    # Stage 2 waits until stage 1 is done at 6, stage 1 for stage 0 until 2, stage 3 until 9.
    assert shares["bubble"] == pytest.approx(((6 - 2) + 2 + (9 - 6)) / 2)
    assert shares["exposed_communication"] == pytest.approx((1 + 1 + 1) / 2)


def test_handing_over_waits_for_no_stage() -> None:
    first = [
        span("forward", 0, 1, microbatch=0),
        span("comm_pp", 1, 2, microbatch=0, name="send activation"),
    ]
    second = [span("backward", 0, 9, rank=1, stage=1, microbatch=0)]
    shares, _ = attribute([result(first), result(second, rank=1, stage=1)])
    assert shares["bubble"] == 0.0
    assert shares["exposed_communication"] == pytest.approx(1 / 2)


def test_making_ready_to_receive_waits_for_no_stage() -> None:
    first = [span("forward", 0, 9, microbatch=0)]
    second = [span("comm_pp", 1, 2, rank=1, stage=1, microbatch=0, name=POST)]
    shares, _ = attribute([result(first), result(second, rank=1, stage=1)])
    assert shares["bubble"] == 0.0
    assert shares["exposed_communication"] == pytest.approx(1 / 2)


def test_a_message_without_a_microbatch_is_a_bubble_until_both_ranks_are_there() -> None:
    first = [
        span("forward", 0, 3),
        span("comm_pp", 3, 4, name="send activation for rank 1"),
        span("comm_pp", 4, 8, name="receive output of rank 1"),
    ]
    second = [
        span("comm_pp", 0, 4, rank=1, stage=1, name="receive activation for rank 1"),
        span("forward", 4, 7, rank=1, stage=1),
        span("comm_pp", 7, 8, rank=1, stage=1, name="send output of rank 1"),
    ]
    shares, _ = attribute([result(first), result(second, rank=1, stage=1)])
    assert shares["bubble"] == pytest.approx(((7 - 4) + 3) / 2)
    assert shares["exposed_communication"] == pytest.approx((1 + 1 + 1 + 1) / 2)


def test_a_report_is_imbalance_until_the_last_rank_comes_then_communication() -> None:
    early = [span("forward", 0, 4), span("idle", 4, 9, name="report")]
    late = [span("forward", 0, 7, rank=1), span("idle", 7, 9, rank=1, name="report")]
    shares, _ = attribute(
        [result(early, ends_s=(9.0,)), result(late, rank=1, replica=1, ends_s=(9.0,))]
    )
    assert shares["imbalance"] == pytest.approx(3 / 2)
    assert shares["exposed_communication"] == pytest.approx(2.0)
    assert shares["other"] == pytest.approx(0.0)


def test_dropped_steps_are_stood_for_by_the_others() -> None:
    spans = [span("forward", 5.5, 6, step=5)] + [
        span("forward", second, second + 0.8, step=second) for second in range(6, 10)
    ]
    shares, wall_s = attribute([result(spans, num_dropped=40)])
    assert wall_s == 10.0
    assert shares["compute"] == pytest.approx(8.0)
    assert sum(shares.values()) == pytest.approx(10.0)


def test_a_run_without_a_step_has_no_time() -> None:
    shares, wall_s = attribute([result([], ends_s=())])
    assert wall_s == 0.0
    assert shares == dict.fromkeys(PARTS, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_parts_sum_to_the_wall_time_and_none_is_negative(seed: int) -> None:
    generator = np.random.default_rng(seed)
    kinds = ["forward", "backward", "optimizer", "comm_dp", "comm_tp", "comm_pp", "data", "idle"]
    results = []
    for rank in range(4):
        starts = np.sort(generator.uniform(0, 10, 200))
        spans = [
            span(
                str(generator.choice(kinds)), start, start + generator.uniform(0, 0.1), rank=rank,
                stage=rank % 2, name=str(generator.choice(["send activation", "receive gradient"])),
                microbatch=int(generator.integers(4)), num_bytes=4, step=int(start),
            )
            for start in starts
        ]  # fmt: skip
        results.append(result(spans, rank=rank, replica=rank // 2, stage=rank % 2))
    shares, wall_s = attribute(results)
    assert sum(shares.values()) == pytest.approx(wall_s)
    assert all(seconds >= 0 for seconds in shares.values())


def test_pieces_do_not_overlap_and_cover_the_union() -> None:
    spans = [
        span("backward", 0, 6),
        span("comm_tp", 2, 3),
        span("comm_dp", 5, 8, name="bucket 0"),
        span("data", 9, 10),
    ]
    pieces = [(piece.kind, start, end) for piece, start, end in exclusive_pieces(spans)]
    assert pieces == [
        ("backward", 0, 2),
        ("comm_tp", 2, 3),
        ("backward", 3, 5),
        ("backward", 5, 6),
        ("comm_dp", 6, 8),
        ("data", 9, 10),
    ]


def test_a_blocking_collective_of_replicas_interrupts_the_computing_but_a_bucket_does_not() -> None:
    for name, computing_s in (("gather parameters", 6.0), ("bucket 1", 10.0)):
        spans = [span("forward", 0, 10), span("comm_dp", 2, 6, name=name, num_bytes=4)]
        shares, _ = attribute([result(spans)])
        assert shares["compute"] == pytest.approx(computing_s)


def test_the_time_before_the_first_step_is_start_up_unless_a_device_is_emulated() -> None:
    late = replace(result([span("forward", 2, 10)]), loop_start_s=2.0)
    shares, wall_s = attribute([late])
    assert wall_s == 10.0
    assert shares["startup"] == 2.0
    assert sum(shares.values()) == pytest.approx(10.0)
    shares, wall_s = attribute([late], with_startup=False)
    assert wall_s == 8.0
    assert shares["startup"] == 0.0


def test_a_checkpoint_is_other_and_does_not_make_the_report_before_it_a_wait() -> None:
    def rank(number: int, ready_s: float) -> RankResult:
        spans = [
            span("backward", 0, ready_s, rank=number),
            span("idle", ready_s, 5, rank=number, name="report"),
            span("idle", 5, 8, rank=number, name=CHECKPOINT),
        ]
        return result(spans, rank=number, replica=number)

    shares, wall_s = attribute([rank(0, 2.0), rank(1, 4.0)])
    assert wall_s == 10.0
    assert shares["imbalance"] == pytest.approx(1.0)  # rank 0 waits 2 s for rank 1
    assert shares["exposed_communication"] == pytest.approx(1.0)
    assert shares["other"] == pytest.approx(3.0 + 2.0)
