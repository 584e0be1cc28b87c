"""Schedules: complete, in order, of the promised memory, and as PyTorch has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from torch.distributed.pipelining._schedule_visualizer import get_schedule_ops

from labkit.errors import PlanError
from labkit.project.schedules import SCHEDULES, Action, schedule_actions

SHAPES = [(p, m) for p in range(1, 9) for m in range(p, 4 * p + 1)]


def cases() -> Iterator[tuple[str, int, int, int]]:
    """(schedule, ranks, microbatches, virtual stages), all that plans allow up to 8 ranks."""
    for p, m in SHAPES:
        for schedule in ("gpipe", "1f1b", "zero_bubble"):
            yield schedule, p, m, 1
        if m % p == 0:
            yield from (("interleaved1f1b", p, m, v) for v in range(1, 5))


def peak_in_flight(actions: tuple[Action, ...], until: str) -> int:
    """Most forwards of a rank that wait at once for an action of one of some kinds."""
    now = peak = 0
    for action in actions:
        now += (action.kind == "F") - (action.kind in until)
        peak = max(peak, now)
    return peak


def test_every_microbatch_passes_every_stage_once_in_each_direction() -> None:
    for schedule, p, m, v in cases():
        ranks = schedule_actions(schedule, p, m, v)
        done = Counter(action for of_rank in ranks for action in of_rank)
        backwards = "IW" if schedule == "zero_bubble" else "B"
        expected = {
            Action(kind, s, k) for kind in "F" + backwards for s in range(p * v) for k in range(m)
        }
        assert done == Counter(expected), (schedule, p, m, v)
        assert all(a.stage % p == rank for rank, of_rank in enumerate(ranks) for a in of_rank)


def test_a_stage_goes_forward_before_it_goes_back() -> None:
    for schedule, p, m, v in cases():
        for of_rank in schedule_actions(schedule, p, m, v):
            place = {action: n for n, action in enumerate(of_rank)}
            for action, n in place.items():
                before = {"B": "F", "I": "F", "W": "I"}.get(action.kind)
                assert before is None or place[action._replace(kind=before)] < n


def test_gpipe_keeps_every_microbatch_and_1f1b_as_many_as_stages_are_left() -> None:
    for p, m in SHAPES:
        gpipe, one_f_one_b = (schedule_actions(name, p, m) for name in ("gpipe", "1f1b"))
        for rank in range(p):
            assert peak_in_flight(gpipe[rank], "B") == m
            assert peak_in_flight(one_f_one_b[rank], "B") == min(m, p - rank)


def test_zero_bubble_keeps_no_more_microbatches_than_1f1b() -> None:
    for p, m in SHAPES:
        ranks = schedule_actions("zero_bubble", p, m)
        # Until the input's gradient is there it is the same on every rank; what is kept for the
        # gradients of the weights comes on top, up to the peak of 1F1B's first rank.
        assert [peak_in_flight(r, "I") for r in ranks] == [min(m, p - r) for r in range(p)]
        assert max(peak_in_flight(of_rank, "W") for of_rank in ranks) == min(m, p)


def test_1f1b_of_three_ranks_by_hand() -> None:
    first, _, last = schedule_actions("1f1b", 3, 4)
    assert "".join(f"{a.kind}{a.microbatch}" for a in first) == "F0F1F2B0F3B1B2B3"
    assert "".join(f"{a.kind}{a.microbatch}" for a in last) == "F0B0F1B1F2B2F3B3"


def test_zero_bubble_puts_weights_off_by_the_rank() -> None:
    first, _, last = schedule_actions("zero_bubble", 3, 4)
    assert "".join(f"{a.kind}{a.microbatch}" for a in first) == "F0F1F2I0W0F3I1W1I2W2I3W3"
    assert "".join(f"{a.kind}{a.microbatch}" for a in last) == "F0I0F1I1F2I2W0F3I3W1W2W3"


@pytest.mark.parametrize(
    ("schedule", "theirs", "virtual_stages"),
    [("gpipe", "GPipe", 1), ("interleaved1f1b", "Interleaved1F1B", 2),
     ("interleaved1f1b", "Interleaved1F1B", 3)],
)  # fmt: skip
@pytest.mark.parametrize(("p", "m"), [(2, 2), (2, 8), (4, 4), (4, 12), (8, 16)])
def test_orders_are_those_of_pytorch(
    schedule: str, theirs: str, virtual_stages: int, p: int, m: int
) -> None:
    # Its 1F1B is left out: torch 2.13 lists wrong microbatches for the ranks behind the first.
    expected = get_schedule_ops(theirs, p, m, None if virtual_stages == 1 else virtual_stages)
    found = schedule_actions(schedule, p, m, virtual_stages)
    for ours, torchs in zip(found, expected, strict=True):
        assert list(ours) == [
            Action(a.computation_type.value, a.stage_index, a.microbatch_index)
            for a in torchs
            if a is not None and a.microbatch_index is not None
        ]


def test_an_unknown_schedule_is_refused_with_the_choices() -> None:
    with pytest.raises(PlanError, match="'dualpipe' is unknown; choose from gpipe, 1f1b"):
        schedule_actions("dualpipe", 2, 4)
    assert set(SCHEDULES) == {"gpipe", "1f1b", "interleaved1f1b", "zero_bubble"}
