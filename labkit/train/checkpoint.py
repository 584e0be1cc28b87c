"""Write checkpoints of a training, by ``torch.distributed.checkpoint`` (DCP).

A checkpoint holds every weight and its momentum under its global name, in the precision of the
update, and for each rank what only a rank in the same place of the same plan can use: the state of
the random numbers, and what a compression keeps. All the rest follows from the step: the data
order, the learning rate.

``resume.py`` goes on from one.
"""

from __future__ import annotations

import shutil
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from labkit.cluster.rank_context import RankContext
from labkit.train import checkpoint_files as files
from labkit.train.job import TrainJob
from labkit.train.optimizer import Optimizer
from labkit.train.pieces import Box, Pieces, PieceSavePlanner, boxes_in, find_extents
from labkit.train.plain_gather import gather_plain
from labkit.train.strategies.parallel_model import ParallelModel

COMMIT_TRIES = 5  # the ranks may be about to elect a leader
COMMIT_PAUSE_S = 0.2
RANDOM = "random"  # name of the state of a rank's random numbers


class Saver:
    """Writes the checkpoints of a run; the same on every rank.

    Args:
        ctx, job, part, optimizer: of this rank; the job says where.
        num_samples: of the training data.
    """

    def __init__(
        self,
        ctx: RankContext,
        job: TrainJob,
        part: ParallelModel,
        optimizer: Optimizer,
        num_samples: int,
    ) -> None:
        assert job.checkpoints is not None, "the job wants no checkpoints"
        self.ctx = ctx
        self.job = job
        self.part = part
        self.optimizer = optimizer
        self.num_samples = num_samples
        self.checkpoints = job.checkpoints
        self._extents = find_extents(part, job.plan)
        self._plans = f"labkit-{uuid.uuid4().hex}"  # name under which DCP keeps what it planned
        if ctx.rank == 0:
            files.remove_leftovers(Path(job.checkpoints.folder))

    def save(self, done: int) -> dict[str, Any]:
        """Write the state after so many steps. A collective of all ranks.

        Returns:
            ``step``, ``seconds`` of this rank, and on rank 0 ``folder`` and ``bytes``; where the
            files cannot be written, as on a full disk, ``error`` instead.
        """
        start_s = self.ctx.now()
        folder = Path(self.checkpoints.folder)
        writer = _PartWriter(folder, done, self.ctx.run, self._description(done))
        planner = PieceSavePlanner(self._plans)
        written: dict[str, Any] = {"step": done}
        self.ctx.doing = f"writing the checkpoint of step {done}"
        try:
            with one_process_is_fine():
                dcp.save(self._state(), storage_writer=writer, planner=planner)
            why = self._complete(writer.part)
        except CheckpointException as error:
            why = _of_the_disk(error)
        self.ctx.doing = ""
        if not why:
            written |= {"folder": str(files.name_of(writer.part)), "bytes": writer.num_bytes}
        else:
            written["error"] = why
            if self.ctx.rank == 0:
                shutil.rmtree(writer.part, ignore_errors=True)
        return written | {"seconds": self.ctx.now() - start_s}

    def _complete(self, part: Path) -> str:
        """Have the leader give a checkpoint its name; returns why it could not, on all ranks.

        So ranks that were given up for dead, and have another leader by now, change nothing.
        """
        for left in reversed(range(COMMIT_TRIES)):
            found = [said for said in gather_plain(self._finish(part)) if said is not None]
            if found:
                return str(found[0])
            time.sleep(COMMIT_PAUSE_S if left else 0.0)
        return "no rank was the leader, which completes it"

    def _finish(self, part: Path) -> str | None:
        """On the leader why it could not complete a checkpoint, or nothing; ``None`` elsewhere."""
        if not self.ctx.may_finish(files.name_of(part).name):
            return None
        try:
            files.complete(part)
            files.keep_newest(part.parent, self.checkpoints.keep)
        except OSError as error:
            return str(error)
        return ""

    def _state(self) -> dict[str, Any]:
        state: dict[str, list[Box]] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for name, weight, momentum, stretch in self.part.owns(self.optimizer):
            for key, tensor in ((f"weight.{name}", weight), (f"momentum.{name}", momentum)):
                if tensor is not None:
                    shapes[key] = self._extents[name].shape
                    state.setdefault(key, []).extend(boxes_in(self._extents[name], tensor, stretch))
        pieces = {key: Pieces(shapes[key], boxes) for key, boxes in state.items()}
        private = {**self.part.private(), RANDOM: torch.get_rng_state()}
        if self.ctx.device.startswith("cuda"):
            private[f"{RANDOM}-gpu"] = torch.cuda.get_rng_state()
        prefix = private_prefix(self.ctx.rank)
        return pieces | {prefix + name: Pieces.of(tensor) for name, tensor in private.items()}

    def _description(self, done: int) -> dict[str, Any]:
        """The fields of ``Saved``."""
        job = self.job
        emulation: dict[str, Any] = {}
        if job.emulation is not None:
            emulation = {
                "device": job.emulation.device.name,
                "time_scale": job.emulation.time_scale,
            }
        return {
            "step": done,
            "plan": job.plan.to_dict(),
            "workload": job.workload.to_dict(),
            "run": self.ctx.run,
            "num_steps": job.num_steps,
            "num_samples": self.num_samples,
            "emulation": emulation,
        }


class _PartWriter(dcp.FileSystemWriter):
    """Writes a checkpoint, under a name that says that it is not complete.

    Args:
        folder: of the run's checkpoints.
        done: steps.
        run: ranks that write it.
        description: what is kept of it beside the tensors.

    Attributes:
        part: where it is written.
        num_bytes: of all its files; on rank 0.
    """

    def __init__(self, folder: Path, done: int, run: str, description: Mapping[str, Any]) -> None:
        self.part = files.part_of(folder, done, run)
        super().__init__(self.part)
        self.num_bytes = 0
        self._begin = (folder, done, run)
        self._description = description
        self._is_coordinator = True

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._is_coordinator = is_coordinator
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        if self._is_coordinator:  # the others write when it has answered them
            files.begin(*self._begin)
        return plan

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            # torch.save only says that it is not where it expected; what happened is behind that.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        written = {result.storage_data.relative_path for each in results for result in each}
        missing = sorted(name for name in written if not (self.part / name).exists())
        if missing:
            raise OSError(
                f"{', '.join(missing[:3])} of other ranks are not in {self.part}: checkpoints need "
                "a folder that the hosts of all ranks share"
            )
        self.num_bytes = files.describe(self.part, self._description)


def private_prefix(rank: int) -> str:
    """How the names begin under which a rank keeps what only a rank in its place can use."""
    return f"rank.{rank}."


def _of_the_disk(failure: CheckpointException) -> str:
    """What is wrong with the disk; raises the failure of a rank that has another cause."""
    for error, _ in failure.failures.values():
        if not isinstance(error, OSError):
            raise error
    error, _ = next(iter(failure.failures.values()))
    return str(error)


@contextmanager
def one_process_is_fine() -> Iterator[None]:
    """Without DCP's warning that there is no process group: a single rank has none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
