"""One rank from start to end: build the model, keep a part of it, train, report."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from labkit.cluster.rank_context import RankContext
from labkit.errors import WorkloadError
from labkit.train.batches import Batches
from labkit.train.evaluate import HeldOut, load_weights
from labkit.train.job import RankResult, TrainJob
from labkit.train.loop import train_steps
from labkit.train.spans import SpanRecorder
from labkit.train.strategies import STRATEGIES
from labkit.train.strategies.parallel_model import ParallelModel, Place, gather_full
from labkit.train.strategies.shapes import empty_microbatch
from labkit.workload import Workload


def run_rank(ctx: RankContext, job: TrainJob) -> RankResult:
    """Train one rank's part of a job; see ``labkit.train.program.train_rank``."""
    plan = job.plan
    place = Place.of(ctx.rank, plan)
    batches = Batches(job.dataset_folder, job.workload, replica=place.replica, num_replicas=plan.dp)
    manifest = batches.reader.manifest
    recorder = SpanRecorder(ctx.now, rank=ctx.rank, stage=place.stage)
    part = STRATEGIES[plan.strategy](
        model=build_model(job.workload, manifest),
        plan=plan,
        place=place,
        example=empty_microbatch(
            tuple(manifest["inputs"]["shape"]),
            manifest["inputs"]["dtype"],
            job.workload.global_batch // plan.dp // plan.num_microbatches,
        ),
        device=torch.device(ctx.device),
        recorder=recorder,
    )
    loop = train_steps(ctx, job, part, batches if part.needs_batch else None, recorder)
    result = RankResult(
        rank=ctx.rank,
        stage=place.stage,
        replica=place.replica,
        tensor_rank=place.tensor_rank,
        steps=loop.steps,
        step_ends_s=loop.step_ends_s,
        loop_start_s=loop.loop_start_s,
        spans=recorder.spans,
        num_dropped_spans=recorder.num_dropped,
        comm_bytes=dict(recorder.comm_bytes),
        comm_bytes_formula={
            kind: per_step * len(loop.step_ends_s)
            for kind, per_step in part.comm_bytes_per_step.items()
        },
        memory_bytes=peak_memory_bytes(ctx.device),
        stopped=loop.stopped,
    )
    add_state(result, job, part, manifest, torch.device(ctx.device))
    return result


def build_model(workload: Workload, manifest: Mapping[str, Any]) -> nn.Sequential:
    """The whole model with its initial weights, the same on every rank.

    Args:
        workload: names the function that builds it, and the seed.
        manifest: of the dataset; says the shape of a sample and the number of classes.
    Raises:
        WorkloadError: the model's layers are not what the workload says.
    """
    module_name, _, function_name = workload.model.partition(":")
    build = getattr(import_module(module_name), function_name)
    torch.manual_seed(workload.seed)
    model: nn.Sequential = build(tuple(manifest["inputs"]["shape"]), manifest["num_classes"])
    if not isinstance(model, nn.Sequential) or len(model) != workload.num_layers:
        found = f"{len(model)} layers" if isinstance(model, nn.Sequential) else type(model).__name__
        raise WorkloadError(
            f"workload {workload.name!r} says num_layers={workload.num_layers} but "
            f"{workload.model} built {found}; return an nn.Sequential with one child per layer"
        )
    return model


def add_state(
    result: RankResult,
    job: TrainJob,
    part: ParallelModel,
    manifest: Mapping[str, Any],
    device: torch.device,
) -> None:
    """Add what the job asked for about the final weights; a collective of all ranks."""
    if not (job.evaluate or job.keep_weights):
        return
    named = dict(part.module.named_parameters())
    weights = gather_full(part, named)
    if job.keep_weights:
        gradients = gather_full(
            part, {name: p.grad for name, p in named.items() if p.grad is not None}
        )
        if result.rank == 0:
            result.weights, result.gradients = weights, gradients
    if job.evaluate and result.rank == 0:
        held_out = HeldOut(job.dataset_folder)
        model = build_model(job.workload, manifest)
        result.accuracy = {
            "samples": held_out.num_samples,
            "before": held_out.accuracy(model, device),
            "correct": held_out.accuracy(load_weights(model, weights), device),
        }


def peak_memory_bytes(device: str) -> int:
    """Most memory held so far: by this process on a CPU, by torch's allocator on a GPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
