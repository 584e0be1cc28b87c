"""A bare DistributedDataParallel loop, without the lab: what torchrun users write.

Run under torchrun it prints the seconds of each step on rank 0; the benchmark also runs the same
function on the lab's ranks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from labkit.train.batches import Batches
from labkit.train.rank import build_model
from labkit.workload import find_workload


def train_bare(
    rank: int, world_size: int, name: str, folder: str, steps: int, warmup: int
) -> list[float]:
    """Seconds of each step after the warm-up; the process group is initialised."""
    torch.set_num_threads(1)
    workload = find_workload(name)
    batches = Batches(folder, workload, replica=rank, num_replicas=world_size)
    model = DistributedDataParallel(build_model(workload, batches.reader.manifest))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=workload.learning_rate, momentum=workload.momentum
    )
    ends = []
    for step in range(steps):
        if step == warmup:
            dist.barrier()
            ends.append(time.perf_counter())
        inputs, targets, _ = batches.take(step, torch.device("cpu"))
        optimizer.zero_grad()
        logits = model(inputs)
        cross_entropy(logits.flatten(0, -2), targets.flatten()).backward()
        optimizer.step()
        if step >= warmup:
            ends.append(time.perf_counter())
    return [end - start for start, end in pairwise(ends)]


def main() -> None:
    """Entry point under torchrun: NAME FOLDER STEPS WARMUP."""
    dist.init_process_group("gloo")
    name, folder, steps, warmup = sys.argv[1:]
    rank = int(os.environ["RANK"])
    seconds = train_bare(rank, dist.get_world_size(), name, folder, int(steps), int(warmup))
    if rank == 0:
        print(json.dumps(seconds))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
