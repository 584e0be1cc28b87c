"""Many runs one after another in one process: what grows?"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import chaos_left
import psutil
from chaos_work import PATIENCE_S

import labkit
from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.cluster import Cluster
from labkit.workload import find_workload

WARM_RUNS = 10  # caches fill until then
AT_ONCE = 4  # questions to the scheduler; a run's threads have one each, and seldom two at once
MOST_GROWTH = 0.05
NUM_LOOKS, LOOK_S = 10, 0.2
PLANS = (labkit.Plan(dp=2), labkit.Plan(pp=2, microbatches=4), labkit.Plan(tp=2))


@dataclass(frozen=True, slots=True)
class Size:
    """Of the lab, this process included."""

    processes: int
    files: int
    memory_bytes: int

    @classmethod
    def now(cls) -> Size:
        """Processes, open files of all, memory that is each one's own."""
        pids = [os.getpid(), *chaos_left.session.our_processes()]
        files = memory = 0
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                files += process.num_fds()
                memory += process.memory_full_info().uss
        return cls(len(pids), files, memory)

    @classmethod
    def settled(cls) -> Size:
        """The least of several looks: what nobody can reach, or is just being closed, is none."""
        gc.collect()
        looks = []
        for _ in range(NUM_LOOKS):
            looks.append(cls.now())
            time.sleep(LOOK_S)
        return min(looks, key=lambda size: (size.processes, size.files))

    def __str__(self) -> str:
        return (
            f"{self.processes:3} processes {self.files:5} files {self.memory_bytes / 1e6:8.1f} MB"
        )


def fill_pool(cluster: Cluster) -> None:
    """Dask keeps as many connections to a scheduler as were ever used at once: use more now."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = [threads.submit(ask_scheduler, cluster.client, linger) for _ in range(AT_ONCE)]
        for answer in answers:
            answer.result()


async def linger() -> None:
    """Keep a connection long enough for the others to need their own."""
    await asyncio.sleep(1.0)


def main(num_runs: int) -> list[str]:
    """Train so many times, print how the lab's size develops; what has grown that must not."""
    workload = find_workload("fruit").with_settings(global_batch=256)
    with labkit.launch(2, device="cpu") as cluster:
        warm = Size.now()
        for number in range(1, num_runs + 1):
            plan = PLANS[number % len(PLANS)]
            run = labkit.train(workload, plan, cluster, steps=10, queue_s=PATIENCE_S)
            assert run.wait(PATIENCE_S).status == "done"
            if number == min(WARM_RUNS, max(1, num_runs // 2)):
                fill_pool(cluster)
                warm = Size.settled()
            if number % max(1, num_runs // 10) == 0:
                print(f"after {number:4} runs: {Size.now()}", flush=True)
        last = Size.settled()
    wrong = []
    if last.processes > warm.processes:
        wrong.append(f"{last.processes - warm.processes} processes more than when warm")
    if last.files > warm.files:
        wrong.append(f"{last.files - warm.files} open files more than when warm")
    growth = last.memory_bytes / warm.memory_bytes - 1
    print(f"memory {growth:+.1%} since it was warm, after {min(WARM_RUNS, num_runs)} runs")
    if growth > MOST_GROWTH:
        wrong.append(f"memory grew by {growth:.1%}, more than {MOST_GROWTH:.0%}")
    return wrong
