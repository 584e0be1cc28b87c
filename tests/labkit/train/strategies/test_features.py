"""Splitting columns instead of samples: the same training, other bytes."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from labkit.errors import PlanError, WorkloadError
from labkit.plan import Plan
from labkit.train.models import logistic
from labkit.train.strategies.features import columns_of, first_linear
from labkit.workload import WORKLOADS


@pytest.mark.parametrize("dp", [2, 3, 4])
@pytest.mark.parametrize("workload", ["fruit", "logistic"])
def test_split_columns_equal_one_process(compare: Any, workload: str, dp: int) -> None:
    both = compare(workload, Plan(dp=dp, split="features"))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    assert both.gradients <= 1e-3
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula
        assert {s.step for s in result.spans if s.kind == "comm_dp"} == set(range(20))


@pytest.mark.parametrize(("num_ranks", "num_columns"), [(1, 4), (3, 4), (4, 4), (5, 23)])
def test_every_column_has_one_rank_and_shares_differ_by_one_at_most(
    num_ranks: int, num_columns: int
) -> None:
    shares = [columns_of(rank, num_ranks, num_columns) for rank in range(num_ranks)]
    assert [c for share in shares for c in range(num_columns)[share]] == list(range(num_columns))
    widths = [share.stop - share.start for share in shares]
    assert max(widths) - min(widths) <= 1


@pytest.mark.parametrize("global_batch", [8, 512])
def test_columns_send_sums_that_grow_with_the_batch_and_samples_send_gradients(
    train_small: Any, global_batch: int
) -> None:
    by_columns, by_samples = (
        train_small("logistic", plan, num_steps=3, global_batch=global_batch)[0]
        for plan in (Plan(dp=2, split="features"), Plan(dp=2))
    )
    num_columns, num_classes = 4, 2  # of the dataset of these tests
    assert by_columns.comm_bytes == {"comm_dp": 3 * 4 * global_batch * num_classes}
    assert by_samples.comm_bytes == {"comm_dp": 3 * 4 * (num_columns + 1) * num_classes}


def test_a_model_of_many_columns_sends_less_by_columns(train_small: Any) -> None:
    by_columns, by_samples = (
        train_small("fruit", plan, num_steps=2)[0]
        for plan in (Plan(dp=2, split="features"), Plan(dp=2))
    )
    assert by_columns.comm_bytes["comm_dp"] < by_samples.comm_bytes["comm_dp"] / 100


def test_a_model_that_begins_with_something_else_is_refused() -> None:
    with pytest.raises(PlanError, match="the model begins with Conv2d; choose split=samples"):
        first_linear(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)), 2)
    with pytest.raises(PlanError, match="the model begins with GRU"):
        first_linear(nn.GRU(3, 3), 2)


def test_fewer_columns_than_ranks_are_refused() -> None:
    with pytest.raises(PlanError, match=r"dp\(4\) ranks, but the first layer takes 3 columns"):
        first_linear(nn.Sequential(nn.Linear(3, 2)), 4)


def test_the_bundled_logistic_workload_is_one_linear_layer_of_all_columns() -> None:
    workload = WORKLOADS["logistic"]
    assert workload.num_layers == 1
    Plan(dp=workload.num_features, split="features").validate(
        workload.with_settings(global_batch=workload.num_features)
    )


def test_the_logistic_model_takes_rows_only() -> None:
    with pytest.raises(WorkloadError, match=r"takes samples of shape \(columns,\).* \(1, 8, 8\)"):
        logistic.build((1, 8, 8), 10)
