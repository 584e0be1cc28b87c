"""The loop trains, reports as it goes, and stops on the same step everywhere."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
import torch

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.plan import Plan
from labkit.runs.record import Span, Step
from labkit.train.job import RankResult, TrainJob, merge_steps
from labkit.train.loop import (
    EAGER_REPORTS,
    MAX_SPANS_AN_EVENT,
    MAX_STEPS_A_REPORT,
    REPORT_S,
    LoopResult,
    Reporter,
)
from labkit.train.program import train_rank
from labkit.train.spans import SpanRecorder
from labkit.workload import WORKLOADS

STOP_S = 60.0


def make_job(folder: str, name: str = "fruit", **settings: Any) -> TrainJob:
    values = {"num_steps": 12, "plan": Plan(), "global_batch": 32} | settings
    workload = WORKLOADS[name].with_settings(global_batch=values.pop("global_batch"))
    return TrainJob(workload=workload, dataset_folder=folder, **values)


@pytest.mark.parametrize(
    ("name", "batch", "steps"), [("fruit", 256, 40), ("digits", 128, 30), ("text", 16, 20)]
)
def test_one_process_learns(
    alone: RankContext, dataset_folders: dict[str, str], name: str, batch: int, steps: int
) -> None:
    job = make_job(dataset_folders[name], name, global_batch=batch, num_steps=steps)
    result = train_rank(alone, job)
    losses = [step.loss for step in result.steps]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert result.accuracy["samples"] > 0
    assert result.accuracy["correct"] > result.accuracy["before"] + 0.1
    assert result.comm_bytes == result.comm_bytes_formula == {}
    assert result.memory_bytes > 10_000_000
    assert result.weights is None
    assert not result.stopped


def test_steps_and_spans_are_reported_live_and_in_order(
    alone: RankContext, events: list[dict[str, Any]], dataset_folders: dict[str, str]
) -> None:
    result = train_rank(alone, make_job(dataset_folders["fruit"], num_steps=100))
    reports = [e["steps"] for e in events if e["type"] == "steps"]
    steps = [Step(*step) for report in reports for step in report]
    assert steps == result.steps
    assert [step.step for step in steps] == list(range(100))
    assert [len(report) for report in reports[:3]][:2] == [1, 1]
    assert max(len(report) for report in reports) <= MAX_STEPS_A_REPORT
    live = [[Span(*span) for span in e["spans"]] for e in events if e["type"] == "spans"]
    assert all(len(spans) <= MAX_SPANS_AN_EVENT for spans in live)
    assert {span.kind for spans in live for span in spans} == {
        "data", "forward", "backward", "optimizer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("step_s", "wanted"),
    [(0.001, MAX_STEPS_A_REPORT), (REPORT_S / 10, 10), (REPORT_S, 1), (5.0, 1)],
)
def test_a_report_comes_about_every_report_s_once_the_first_are_out(
    alone: RankContext, step_s: float, wanted: int
) -> None:
    job = make_job("unused", num_steps=1_000)
    result = LoopResult(loop_start_s=0.0)
    reporter = Reporter(alone, job, SpanRecorder(alone.now, rank=0), result, lambda step: 32)
    lengths = []
    for step in range(4 + 3 * MAX_STEPS_A_REPORT):
        result.step_ends_s.append((step + 1) * step_s)
        lengths.append(reporter.steps_to_next)
        assert not reporter.add(torch.tensor(0.5))
    assert lengths[: EAGER_REPORTS + 1] == [1] * (EAGER_REPORTS + 1)
    assert set(lengths[EAGER_REPORTS + 1 :]) == {wanted}


def test_reports_do_not_reach_beyond_the_last_step(alone: RankContext) -> None:
    result = LoopResult(loop_start_s=0.0)
    job = make_job("unused", num_steps=17)
    reporter = Reporter(alone, job, SpanRecorder(alone.now, rank=0), result, lambda step: 32)
    for step in range(17):
        result.step_ends_s.append((step + 1) * 0.001)
        reporter.add(torch.tensor(float(step)))
    assert [step.loss for step in result.steps] == list(range(17))


def test_times_of_steps_add_up(alone: RankContext, dataset_folders: dict[str, str]) -> None:
    result = train_rank(alone, make_job(dataset_folders["fruit"]))
    total_s = result.step_ends_s[-1] - result.loop_start_s
    assert math.isclose(sum(step.seconds for step in result.steps), total_s)
    assert [step.end_s for step in result.steps] == result.step_ends_s
    assert all(step.samples == 32 for step in result.steps)


def test_the_same_job_gives_the_same_losses(
    alone: RankContext, dataset_folders: dict[str, str]
) -> None:
    job = make_job(dataset_folders["digits"], "digits")
    first, second = train_rank(alone, job), train_rank(alone, job)
    assert [s.loss for s in first.steps] == [s.loss for s in second.steps]


def test_a_stop_flag_ends_a_single_rank_at_its_next_report(
    alone: RankContext, dataset_folders: dict[str, str]
) -> None:
    alone.stop_flag.set()
    result = train_rank(alone, make_job(dataset_folders["fruit"], num_steps=10_000))
    assert result.stopped
    assert len(result.steps) == 1
    assert result.accuracy["samples"] > 0


def train_until_third_report(ctx: RankContext, job: TrainJob, stopping_rank: int) -> RankResult:
    """On one rank, the user's stop arrives after its third live event."""
    send, sent = ctx.send, threading.Semaphore(3)

    def count(event: dict[str, Any]) -> None:
        if not sent.acquire(blocking=False) and ctx.rank == stopping_rank:
            ctx.stop_flag.set()
        send(event)

    ctx.send = count
    return train_rank(ctx, job)


@pytest.mark.parametrize("plan", [Plan(dp=2), Plan(pp=2, microbatches=2)], ids=["data", "pipeline"])
def test_all_ranks_stop_on_the_same_step_though_one_was_told(
    cluster4: Cluster, dataset_folders: dict[str, str], plan: Plan
) -> None:
    job = make_job(dataset_folders["fruit"], plan=plan, num_steps=100_000, evaluate=False)
    results = cluster4.run_ranks(train_until_third_report, 2, job, 1, timeout_s=STOP_S)
    assert all(result.stopped for result in results)
    assert len(results[0].step_ends_s) == len(results[1].step_ends_s) < 100_000
    assert len(results[0].steps) == len(results[0].step_ends_s)


def test_a_stop_at_the_last_step_is_no_stop(
    alone: RankContext, dataset_folders: dict[str, str]
) -> None:
    alone.stop_flag.set()
    assert not train_rank(alone, make_job(dataset_folders["fruit"], num_steps=1)).stopped


def test_merged_steps_take_the_slowest_rank_s_times() -> None:
    def result(rank: int, ends_s: list[float], steps: list[Step]) -> RankResult:
        return RankResult(
            rank=rank, replica=rank, stage=0, tensor_rank=0, steps=steps, step_ends_s=ends_s,
            loop_start_s=1.0 + rank, spans=[], num_dropped_spans=0, comm_bytes={},
            comm_bytes_formula={}, memory_bytes=0,
        )  # fmt: skip

    steps = [Step(0, 0.5, 8, 2.0, 3.0), Step(1, 0.4, 8, 2.0, 5.0)]
    merged = merge_steps([result(0, [3.0, 5.0], steps), result(1, [4.0, 4.5], [])])
    assert merged == [Step(0, 0.5, 8, 3.0, 4.0), Step(1, 0.4, 8, 1.0, 5.0)]
