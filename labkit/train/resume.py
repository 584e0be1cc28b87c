"""Go on from a checkpoint, under the plan that wrote it or another one.

On the same plan a training goes on bit by bit as if nothing had happened; under another plan, with
another number of ranks, within rounding: ranks read the boxes that they need, whoever wrote them.
What is approximate by nature stays so: a compression that keeps what it has not sent yet forgets
that under another plan, and an asynchronous training has no course to keep.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
from labkit.train.checkpoint_index import IndexedReader, read_index
from labkit.train.job import TrainJob
from labkit.train.optimizer import Optimizer
from labkit.train.pieces import PieceLoadPlanner, Pieces, boxes_in, find_extents, local
from labkit.train.resume_check import check_goes_on
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
        SettingError: the checkpoint cannot be read, or is of another training.
    """
    folder = Path(job.resume_from)
    saved = files.read(folder)
    check_goes_on(saved, job.workload, batches.reader.num_samples)
    index = read_index(folder)
    device = torch.device(ctx.device)
    extents = find_extents(part, job.plan)
    weights = {name: _fresh(p) for name, p in part.module.named_parameters()}
    boxes = {f"weight.{name}": boxes_in(extents[name], x) for name, x in weights.items()}
    optimizer.begin_momenta()
    owned = part.owns(optimizer)
    for name, _, momentum, stretch in owned:
        if momentum is not None:
            found = boxes_in(extents[name], momentum, stretch)
            boxes.setdefault(f"momentum.{name}", []).extend(found)
    wanted = {
        key: Pieces(extents[key.partition(".")[2]].shape, found) for key, found in boxes.items()
    }
    same_plan = saved.plan == json.loads(json.dumps(job.plan.to_dict()))
    private = _private_tensors(index, ctx.rank, device, same_plan)
    wanted |= {name: Pieces.of(tensor) for name, tensor in private.items()}
    _load(folder, index, wanted)
    with torch.no_grad():
        for name, parameter in part.module.named_parameters():
            local(parameter).copy_(weights[name])
        for name, weight, _, stretch in owned:
            whole = weights[name]
            local(weight).copy_(whole if stretch is None else whole.view(-1)[stretch])
    if part.rehearses:
        _rehearse(part, batches, job.start_step, device)
    kept = {key.split(".", 2)[2]: tensor for key, tensor in private.items()}
    torch.set_rng_state(kept.pop(RANDOM))
    if (of_gpu := kept.pop(f"{RANDOM}-gpu", None)) is not None:
        torch.cuda.set_rng_state(of_gpu)
    part.take_up(job.start_step, kept)


def _rehearse(part: ParallelModel, batches: Batches, step: int, device: torch.device) -> None:
    """Do a step for nothing."""
    batch = Batch(None, None, batches.loss_scale(step))
    if part.needs_batch:
        batch = batches.take(step, device)
    part.forward_backward(batch)
    part.module.zero_grad()


def _load(folder: Path, index: Metadata, wanted: dict[str, Any]) -> None:
    """Read boxes from a checkpoint, in place."""
    for key, pieces in wanted.items():
        found = index.state_dict_metadata.get(key)
        if found is None or found.size != pieces.size():
            shape = "no" if found is None else f"{tuple(found.size)} as the shape of"
            raise SettingError(
                f"checkpoint {folder} has {shape} {key}, where the model needs "
                f"{tuple(pieces.size())}; choose a checkpoint of the same workload"
            )
    reader = IndexedReader(folder, index)
    try:
        with one_process_is_fine():
            dcp.load(wanted, storage_reader=reader, planner=PieceLoadPlanner())
    except CheckpointException as failure:
        error, _ = next(iter(failure.failures.values()))
        raise SettingError(
            f"checkpoint {folder} cannot be read ({type(error).__name__}: {error}); choose another "
            "one, or remove it"
        ) from error


def _private_tensors(
    index: Metadata, rank: int, device: torch.device, same_plan: bool
) -> dict[str, Tensor]:
    """Room for what a checkpoint keeps of this rank; under another plan rank 0's random numbers."""
    prefix = private_prefix(rank if same_plan else 0)
    found = {}
    for key, tensor in index.state_dict_metadata.items():
        is_random = key.startswith(prefix + RANDOM)
        if key.startswith(prefix) and (same_plan or is_random):
            where = torch.device("cpu") if is_random else device
            found[key] = torch.empty(tensor.size, dtype=tensor.properties.dtype, device=where)
    return found


def _fresh(parameter: Tensor) -> Tensor:
    """Room for this rank's numbers of a parameter, in the precision of the update."""
    coarse = parameter.dtype == torch.bfloat16
    return torch.empty_like(local(parameter), dtype=torch.float32 if coarse else None)
