"""Go on from a checkpoint, under the plan that wrote it or another one.

On the same plan a training goes on bit by bit as if nothing had happened; under another plan, with
another number of ranks, within rounding: ranks read the boxes that they need, whoever wrote them.
What is approximate by nature stays so: a compression that keeps what it has not sent yet forgets
that under another plan, and an asynchronous training has no course to keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata

from labkit.cluster.rank_context import RankContext
from labkit.errors import SettingError
from labkit.train import checkpoint_files as files
from labkit.train.batches import Batch, Batches
from labkit.train.checkpoint import RANDOM, one_process_is_fine, private_prefix
from labkit.train.checkpoint_index import IndexedReader, read_index, tensors_of
from labkit.train.job import TrainJob
from labkit.train.optimizer import Optimizer, Owned
from labkit.train.pieces import Box, Extent, PieceLoadPlanner, Pieces, boxes_in, find_extents, local
from labkit.train.resume_check import check_same_training
from labkit.train.strategies.parallel_model import ParallelModel


def resume(
    ctx: RankContext, job: TrainJob, part: ParallelModel, optimizer: Optimizer, batches: Batches
) -> None:
    """Take up the state of the checkpoint that a job goes on from. A collective of all ranks.

    Args:
        ctx, job: of this rank.
        part, optimizer: fresh ones; they get the weights and momenta.
        batches: for a step that is done for nothing, where the first step of a process differs.
    Raises:
        WorkloadError, SettingError: the checkpoint cannot be read, or is of another training.
    """
    saved = files.read(job.resume_from)
    check_same_training(saved, job.workload, batches.reader.num_samples)
    index = read_index(Path(saved.folder))
    same_plan = saved.plan == json.loads(json.dumps(job.plan.to_dict()))
    private = _private_tensors(index, ctx, same_plan)
    whole = {name: Pieces.of(tensor) for name, tensor in private.items()}
    _read_weights(Path(saved.folder), index, job, part, optimizer, whole)
    if part.rehearses:
        _rehearse(part, batches, job.start_step)
    kept = {key.split(".", 2)[2]: tensor for key, tensor in private.items()}
    torch.set_rng_state(kept.pop(RANDOM))
    if (of_gpu := kept.pop(f"{RANDOM}-gpu", None)) is not None:
        torch.cuda.set_rng_state(of_gpu)
    part.take_up(job.start_step, kept)


def _read_weights(
    folder: Path,
    index: Metadata,
    job: TrainJob,
    part: ParallelModel,
    optimizer: Optimizer,
    others: Mapping[str, Pieces],
) -> None:
    """Read weights and momenta into a rank's part, and other pieces on the way."""
    extents = find_extents(part, job.plan)
    parameters = dict(part.module.named_parameters())
    weights = {name: _room_for(parameter) for name, parameter in parameters.items()}
    optimizer.begin_momenta()
    owned = part.owns(optimizer)
    wanted = {
        f"weight.{name}": Pieces(extents[name].shape, boxes_in(extents[name], weight))
        for name, weight in weights.items()
    }
    _load(folder, index, {**wanted, **_momenta(owned, extents), **others})
    with torch.no_grad():
        for name, parameter in parameters.items():
            local(parameter).copy_(weights[name])
        for name, weight, _, stretch in owned:
            mine = weights[name]
            local(weight).copy_(mine if stretch is None else mine.view(-1)[stretch])


def _momenta(owned: list[Owned], extents: Mapping[str, Extent]) -> dict[str, Pieces]:
    """The momenta that this rank has, to be read into."""
    boxes: dict[str, list[Box]] = {}
    for name, _, momentum, stretch in owned:
        if momentum is not None:
            boxes.setdefault(name, []).extend(boxes_in(extents[name], momentum, stretch))
    return {f"momentum.{name}": Pieces(extents[name].shape, found) for name, found in boxes.items()}


def _load(folder: Path, index: Metadata, wanted: dict[str, Pieces]) -> None:
    """Read pieces from a checkpoint, in place. A collective of all ranks."""
    there = tensors_of(index)
    for key, pieces in wanted.items():
        if key not in there or there[key].size != pieces.size():
            found = f"{key} of shape {tuple(there[key].size)}" if key in there else f"no {key}"
            raise SettingError(
                f"checkpoint {folder} has {found}, where the model has one of shape "
                f"{tuple(pieces.size())}; choose a checkpoint of the same model"
            )
    reader = IndexedReader(folder, index)
    try:
        with one_process_is_fine():
            dcp.load({**wanted}, storage_reader=reader, planner=PieceLoadPlanner())
    except CheckpointException as failure:
        error, _ = next(iter(failure.failures.values()))
        reason = str(error).partition("\n")[0].partition(". ")[0]  # torch goes on with advice
        raise SettingError(
            f"checkpoint {folder} cannot be read ({type(error).__name__}: {reason}); choose "
            "another one, or remove it"
        ) from error


def _private_tensors(index: Metadata, ctx: RankContext, same_plan: bool) -> dict[str, Tensor]:
    """Room for what a checkpoint keeps of this rank; under another plan rank 0's random numbers."""
    prefix = private_prefix(ctx.rank if same_plan else 0)
    room = {}
    for key, tensor in tensors_of(index).items():
        is_random = key.startswith(prefix + RANDOM)
        if key.startswith(prefix) and (same_plan or is_random):
            device = "cpu" if is_random else ctx.device
            room[key] = torch.empty(tensor.size, dtype=tensor.properties.dtype, device=device)
    return room


def _room_for(parameter: Tensor) -> Tensor:
    """An array for this rank's numbers of a parameter, in the precision of the update."""
    coarse = parameter.dtype == torch.bfloat16
    return torch.empty_like(local(parameter), dtype=torch.float32 if coarse else None)


def _rehearse(part: ParallelModel, batches: Batches, step: int) -> None:
    """Do a step for nothing."""
    batch = Batch(None, None, batches.loss_scale(step))
    if part.needs_batch:
        batch = batches.take(step, part.device)
    part.forward_backward(batch)
    part.module.zero_grad()
