"""Where the time of a checkpoint goes: to nothing of the device, and into no other part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.device import Device, Link
from labkit.emulate.pacer import Pacer, RealTime
from labkit.plan import Plan
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.runs.attribution import PARTS, attribute
from labkit.runs.record import CHECKPOINT
from labkit.train.checkpoint_files import Checkpoints
from labkit.train.job import TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

LINK = Link(bandwidth_bytes_per_s=1e9, latency_s=1e-6)
DEVICE = Device(
    name="test", description="", flops_per_s=1e9, memory_bytes=10**9, memory_bytes_per_s=1e9,
    overhead_s=0.0, devices_per_host=4, inside=LINK, across=LINK, sources={},
)  # fmt: skip
TIME_SCALE = 0.5


def leave_out(ctx: RankContext, seconds: list[float]) -> tuple[float, float]:
    """By how much the device's clock and the declared work change on this rank."""
    wall_s = 100.0
    layers = (LayerProfile(name="0", forward_flops=0.0),)
    pace = Pacer(
        DEVICE, ModelProfile(layers=layers, input_bytes=0), Plan(dp=ctx.world_size),
        rank=ctx.rank, time_scale=TIME_SCALE, wall_now=lambda: wall_s, stop_flag=ctx.stop_flag,
    )  # fmt: skip
    pace.start()
    before_s, nominal_s = pace.now(), pace.nominal_s
    wall_s += seconds[ctx.rank]
    pace.leave_out(seconds[ctx.rank])
    return pace.now() - before_s, pace.nominal_s - nominal_s


def test_an_emulated_clock_leaves_out_the_slowest_rank_s_time_on_all(cluster4: Cluster) -> None:
    changes = cluster4.run_ranks(leave_out, 2, [3.0, 2.0], timeout_s=60.0)
    # The same is left out everywhere, so that the clocks of two ranks stay comparable.
    assert changes == [(0.0, 0.0), (-1.0 / TIME_SCALE, 0.0)]


def test_a_measured_clock_leaves_nothing_out() -> None:
    pace = RealTime(lambda: 7.0)
    pace.leave_out(3.0)
    assert pace.now() == 7.0


@pytest.fixture
def job(dataset_folders: dict[str, str], tmp_path: Path) -> TrainJob:
    return TrainJob(
        workload=WORKLOADS["fruit"].with_settings(global_batch=8),
        plan=Plan(dp=2),
        dataset_folder=dataset_folders["fruit"],
        num_steps=5,
        evaluate=False,
        checkpoints=Checkpoints(folder=str(tmp_path / "checkpoints"), every_steps=2),
    )


def train_and_note(ctx: RankContext, job: TrainJob) -> tuple[Any, list[float]]:
    """What this rank leaves out of its clock, beside what it returns."""
    left_out: list[float] = []
    RealTime.leave_out = lambda self, wall_s: left_out.append(wall_s)  # type: ignore[method-assign]
    return train_rank(ctx, job), left_out


def test_checkpoints_are_recorded_and_attributed_and_left_out(
    cluster4: Cluster, job: TrainJob
) -> None:
    ranks = cluster4.run_ranks(train_and_note, 2, job, timeout_s=60.0)
    results = [result for result, _ in ranks]
    written = results[0].checkpoints
    assert [entry["step"] for entry in written] == [2, 4, 5]
    assert ranks[0][1] == [entry["seconds"] for entry in written]
    assert len(ranks[1][1]) == 3
    for result in results:
        spans = [span for span in result.spans if span.name == CHECKPOINT]
        assert [(span.kind, span.step) for span in spans] == [("idle", 1), ("idle", 3), ("idle", 4)]
    in_time = [span for span in results[0].spans if span.name == CHECKPOINT][:2]
    shares, wall_s = attribute(results)
    assert tuple(shares) == PARTS
    assert sum(shares.values()) == pytest.approx(wall_s)
    assert shares["other"] >= sum(span.duration_s for span in in_time) / 2
