"""Compressed gradients: the bytes that they save, and the accuracy that they cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from labkit.plan import Plan
from labkit.train.strategies.compression import cast_bytes, powersgd_bytes

# Relative difference of losses over 20 steps with a batch of 8: a few times what was seen. Digits
# learn fast there, and so amplify any difference; text learns slowly.
EXPECTED = {
    ("fp16", "digits"): 2e-3,
    ("fp16", "text"): 1e-4,
    ("bf16", "digits"): 4e-2,
    ("bf16", "text"): 5e-4,
    ("powersgd", "digits"): 6e-1,
    ("powersgd", "text"): 2e-1,
}


@pytest.mark.parametrize("dp", [2, 4])
@pytest.mark.parametrize(("compression", "workload"), list(EXPECTED))
def test_compression_costs_about_as_much_accuracy_as_expected(
    compare: Any, compression: str, workload: str, dp: int
) -> None:
    both = compare(workload, Plan(dp=dp, compression=compression))
    assert 1e-6 < both.loss < EXPECTED[compression, workload]
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula
        buckets = [s for s in result.spans if s.kind == "comm_dp" and s.name.startswith("bucket")]
        assert sum(span.bytes for span in buckets) == result.comm_bytes["comm_dp"]


def test_accuracy_falls_as_bytes_do(compare: Any) -> None:
    plain, *compressed = (
        compare("digits", Plan(dp=2, compression=compression))
        for compression in ("none", "fp16", "bf16", "powersgd")
    )
    sent = [both.results[0].comm_bytes["comm_dp"] for both in (plain, *compressed)]
    assert sent[1] == sent[2] == sent[0] / 2
    assert sent[3] < sent[0] / 4
    assert plain.loss < compressed[0].loss < compressed[1].loss < compressed[2].loss


def test_a_cast_keeps_the_number_of_gradients_and_changes_their_size() -> None:
    model = nn.Linear(3, 5)
    assert cast_bytes(model, torch.float16) == (3 * 5 + 5) * 2
    assert cast_bytes(model.double(), torch.bfloat16) == (3 * 5 + 5) * 2


def test_powersgd_sends_two_factors_of_a_matrix_and_whole_vectors() -> None:
    model = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 2))
    factors = (30 + 40) * 2  # P (30, 2) and Q (40, 2) instead of 30 * 40 numbers
    small = 2 * 30  # its factors would have (2 + 30) * 2 numbers
    whole = 30 * 40 + 30 + small + 2
    assert powersgd_bytes(model, 1) == 4 * whole
    assert powersgd_bytes(model, 2) == 2 * 4 * whole
    assert powersgd_bytes(model, 5) == 2 * 4 * whole + 3 * 4 * (factors + 30 + small + 2)


def test_powersgd_of_several_buckets_sends_what_the_formula_says(train_small: Any) -> None:
    plan = Plan(dp=2, compression="powersgd", bucket_mb=0.05, microbatches=2)
    results = train_small("digits", plan, num_steps=6)
    names = {s.name for s in results[0].spans if s.name.startswith("bucket")}
    assert len(names) > 2
    for result in results:
        assert result.comm_bytes == result.comm_bytes_formula
