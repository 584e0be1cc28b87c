"""One step of the lab's pipeline against torch's own schedules, in the same ranks, alternating.

python tests/benchmarks/bench_pipeline.py [WORKLOAD] [BLOCKS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

import labkit
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.preprocess.preprocess import dataset_for
from labkit.project.stage_cuts import stage_ranges
from labkit.train.batches import Batch, Batches
from labkit.train.loss import scaled_loss
from labkit.train.rank import build_model
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.pipeline import apply_pipeline, take_layers
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes
from labkit.workload import WORKLOADS, Workload

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
STEPS_A_BLOCK = 5


def make_given(ctx: RankContext, plan: Plan, workload: Workload, batches: Batches) -> Given:
    """What the lab hands to a strategy in a run."""
    inputs = batches.reader.manifest["inputs"]
    size = workload.global_batch // plan.num_microbatches
    return Given(
        workload=workload,
        plan=plan,
        place=Place.of(ctx.rank, plan),
        example=empty_microbatch(tuple(inputs["shape"]), inputs["dtype"], size),
        stages=stage_ranges(workload.num_layers, plan.pp),
        device=torch.device("cpu"),
        recorder=SpanRecorder(ctx.now, rank=ctx.rank),
        pace=RealTime(ctx.now),
    )


def torch_step(given: Given, model: torch.nn.Sequential, batch: Batch) -> Callable[[], object]:
    """The same step by ``torch.distributed.pipelining``."""
    shapes = trace_shapes(model, given.example)
    layers = given.stages[given.place.stage]
    stage = PipelineStage(
        take_layers(model, layers),
        given.place.stage,
        given.plan.pp,
        given.device,
        input_args=shapes.inputs[layers.start],
        output_args=shapes.inputs[layers.stop],
    )

    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return scaled_loss(output, targets, batch.loss_scale)

    schedule = SCHEDULES[given.plan.schedule](
        stage, given.plan.num_microbatches, loss_fn=loss, scale_grads=False
    )

    def step() -> object:
        return schedule.step(
            *((batch.inputs,) if stage.is_first else ()),
            target=batch.targets if stage.is_last else None,
            losses=[] if stage.is_last else None,
            return_outputs=False,
        )

    return step


def compare(ctx: RankContext, plan: Plan, name: str, folder: str, num_blocks: int) -> list[float]:
    """Seconds of a step in each block: ours, torch's, ours, torch's, ..."""
    workload = WORKLOADS[name]
    batches = Batches(folder, workload, replica=0, num_replicas=1)
    given = make_given(ctx, plan, workload, batches)
    batch = batches.take(0, given.device)
    models = [build_model(workload, batches.reader.manifest) for _ in range(2)]
    part = apply_pipeline(models[0], given)
    steps = (lambda: part.forward_backward(batch), torch_step(given, models[1], batch))
    times = []
    for block in range(2 + 2 * num_blocks):  # the first two warm up
        dist.barrier()
        started = time.perf_counter()
        for _ in range(STEPS_A_BLOCK):
            models[block % 2].zero_grad()
            steps[block % 2]()
        dist.barrier()
        times.append((time.perf_counter() - started) / STEPS_A_BLOCK)
    gradients = [[p.grad for p in model.parameters() if p.grad is not None] for model in models]
    torch.testing.assert_close(gradients[0], gradients[1])
    return times[2:]


def main(name: str, num_blocks: int) -> None:
    """Print the ratio for each schedule and number of ranks."""
    with labkit.launch(4, device="cpu") as cluster:
        folder = str(dataset_for(WORKLOADS[name].dataset, cluster=cluster).folder)
        for schedule in ("gpipe", "1f1b"):
            for num_ranks in (2, 4):
                plan = labkit.Plan(pp=num_ranks, schedule=schedule, microbatches=8)
                times = cluster.run_ranks(
                    compare, num_ranks, plan, name, folder, num_blocks, timeout_s=600.0
                )[0]
                ours, theirs = times[0::2], times[1::2]
                ratios = sorted(mine / other for mine, other in zip(ours, theirs, strict=True))
                print(
                    f"{name} {schedule:<6} {num_ranks} ranks: {1e3 * median(ours):.1f} ms a step, "
                    f"torch's own {1e3 * median(theirs):.1f} ms; ratio {median(ratios):.3f} "
                    f"({ratios[len(ratios) // 4]:.3f} to {ratios[-1 - len(ratios) // 4]:.3f})"
                )


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "text", int(sys.argv[2]) if len(sys.argv) > 2 else 20
    )
