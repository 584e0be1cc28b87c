"""One rank from start to end: build the model, keep a part of it, train, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from labkit.cluster.load import LoadSampler
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import Pacer, RealTime
from labkit.errors import WorkloadError
from labkit.train.batches import Batches
from labkit.train.device_clock import DeviceClock
from labkit.train.evaluate import HeldOut, load_weights
from labkit.train.job import RankResult, TrainJob
from labkit.train.loop import train_steps
from labkit.train.memory import PeakMemory
from labkit.train.spans import SpanRecorder
from labkit.train.strategies import find_strategy
from labkit.train.strategies.parallel_model import Given, ParallelModel, Place, gather_full
from labkit.train.strategies.shapes import empty_microbatch
from labkit.workload import Workload

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
}


def run_rank(ctx: RankContext, job: TrainJob) -> RankResult:
    """Train one rank's part of a job; see ``labkit.train.program.train_rank``."""
    memory = PeakMemory(ctx.device)
    plan = job.plan
    place = Place.of(ctx.rank, plan)
    batches = Batches(
        job.dataset_folder,
        job.workload,
        replica=place.replica if plan.num_replicas > 1 else 0,
        num_replicas=plan.num_replicas,
        dtype=DTYPES[job.workload.precision],
    )
    manifest = batches.reader.manifest
    on_gpu = ctx.device.startswith("cuda") and job.emulation is None
    clock = DeviceClock(ctx.now) if on_gpu else None
    pace = make_pace(ctx, job, clock or ctx.now)
    recorder = SpanRecorder(pace.now, rank=ctx.rank, stage=place.stage, clock=clock)
    given = Given(
        workload=job.workload,
        plan=plan,
        place=place,
        example=empty_microbatch(
            tuple(manifest["inputs"]["shape"]),
            manifest["inputs"]["dtype"],
            job.workload.global_batch // plan.num_replicas // plan.num_microbatches,
            DTYPES[job.workload.precision],
        ),
        stages=job.stage_ranges(),
        device=torch.device(ctx.device),
        recorder=recorder,
        pace=pace,
    )
    model = build_model(job.workload, manifest).to(given.device)
    if plan.checkpoint_activations:
        forget_activations(model)
    part = find_strategy(plan)(model, given)
    del model  # the parts of it that this rank does not hold
    batches.columns = part.columns
    try:
        with LoadSampler(ctx):
            loop = train_steps(ctx, job, part, batches, recorder, pace)
        part.finish()
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
            comm_bytes_formula=part.comm_bytes(len(loop.step_ends_s), job.start_step),
            memory_bytes=memory.peak_bytes,
            memory_growth_bytes=memory.growth_bytes,
            nominal_ends_s=loop.nominal_ends_s if pace.is_emulated else [],
            first_step_wall_s=loop.first_step_wall_s,
            stopped=loop.stopped,
            checkpoints=loop.checkpoints,
        )
        add_state(result, job, part, manifest, given.device)
        result.staleness = list(part.staleness)
        return result
    finally:
        part.close()


def make_pace(ctx: RankContext, job: TrainJob, now: Callable[[], float]) -> RealTime:
    """The pace of this rank: of the declared device, or of the machine that it runs on."""
    emulation = job.emulation
    if emulation is None:
        return RealTime(now)
    return Pacer(
        emulation.device,
        emulation.profile,
        job.plan,
        rank=ctx.rank,
        time_scale=emulation.time_scale,
        wall_now=ctx.now,
        stop_flag=ctx.stop_flag,
        link_factor=lambda: ctx.link_factor,
    )


def build_model(workload: Workload, manifest: Mapping[str, Any]) -> nn.Module:
    """The whole model with its initial weights, the same on every rank.

    Args:
        workload: names or is the function that builds it, and has the seed.
        manifest: of the dataset; says the shape of a sample and the number of classes.
    Raises:
        WorkloadError: the model's layers are not what the workload says.
    """
    build = workload.model
    if isinstance(build, str):
        module_name, _, function_name = build.partition(":")
        build = getattr(import_module(module_name), function_name)
    torch.manual_seed(workload.seed)
    model = build(tuple(manifest["inputs"]["shape"]), manifest["num_classes"])
    num_layers = len(model) if isinstance(model, nn.Sequential) else 1
    if not isinstance(model, nn.Module) or num_layers != workload.num_layers:
        found = f"{num_layers} layers" if isinstance(model, nn.Module) else type(model).__name__
        raise WorkloadError(
            f"workload {workload.name!r} says num_layers={workload.num_layers} but "
            f"{workload.model} built {found}; return an nn.Sequential with one child per layer"
        )
    return model.to(DTYPES[workload.precision])


def forget_activations(model: nn.Module) -> None:
    """Let each layer keep its input only, and compute its activations again in the backward.

    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    for layer in model.children():
        layer.forward = partial(
            checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False
        )


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
