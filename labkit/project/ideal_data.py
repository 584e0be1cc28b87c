"""The ideal step of data parallelism alone: one microbatch after the other on every replica."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from labkit.emulate.device import Device
from labkit.plan import DEFAULT_BUCKET_MB, Plan
from labkit.project.breakdown import PARTS, IdealStep
from labkit.project.buckets import assign_buckets
from labkit.project.collectives import all_gather_s, all_reduce_s, point_to_point_s
from labkit.project.compute import ELEMENT_BYTES
from labkit.project.data_step import DataStep, Stretch
from labkit.project.links import LinkClock
from labkit.project.profile import ModelProfile
from labkit.project.simulate import until_settled
from labkit.runs.record import Span
from labkit.workload import Workload

MB = 2**20
WIRE_BYTES = {"fp16": 2, "bf16": 2}  # of one number of a compressed gradient
SERVER = 0


def ideal_data(plan: Plan, profile: ModelProfile, device: Device, workload: Workload) -> IdealStep:
    """The ideal step of a plan with ``dp`` alone; see ``ideal_step`` for the arguments."""
    step = DataStep(plan, profile, device, workload)
    if plan.split == "features":
        return _alike(step, _then_update)
    if plan.shard != "none":
        return _alike(step, _SHARDS[plan.shard])
    if plan.sync == "ring":
        return _ring(step)
    if plan.sync == "parameter_server":
        return _parameter_server(step)
    return _alike(step, _average if plan.sync == "average" else _buckets)


def _alike(step: DataStep, finish: Callable[[DataStep], None]) -> IdealStep:
    """The step of replicas that all do the same at the same time."""
    finish(step)
    return _ideal(step, step.now_s, [step.stretches] * step.plan.dp)


def _then_update(step: DataStep) -> None:
    step.update()


def _sum_in_buckets(step: DataStep) -> None:
    """The all_reduces of DistributedDataParallel, one at a time, behind the last backward."""
    plan = step.plan
    itemsize = ELEMENT_BYTES[step.workload.precision]
    on_wire = WIRE_BYTES.get(plan.compression, itemsize) / itemsize
    free_s = 0.0
    buckets = assign_buckets(step.layers, (plan.bucket_mb or DEFAULT_BUCKET_MB) * MB)
    for number, (num_bytes, layer) in enumerate(buckets):
        start_s = max(free_s, step.ready_s[layer])
        free_s = start_s + all_reduce_s(num_bytes * on_wire, plan.dp, step.link)
        name = f"bucket {number}"
        sent_bytes = int(num_bytes * on_wire)
        step.stretches.append(Stretch("comm_dp", name, start_s, free_s, num_bytes=sent_bytes))
    step.now_s = max(step.now_s, free_s)


def _buckets(step: DataStep) -> None:
    _sum_in_buckets(step)
    step.update()


def _shard_optimizer(step: DataStep) -> None:
    """ZeRO-1: gradients are summed as ever, then each rank updates its part of the weights."""
    _sum_in_buckets(step)
    step.update(1 / step.plan.dp)
    seconds = all_gather_s(step.gradient_bytes, step.plan.dp, step.link)
    step.communicate("updated parameters", seconds, step.gradient_bytes / step.plan.dp)


def _shard_gradients(step: DataStep) -> None:
    """ZeRO-2 and 3: the collectives stand between the layers already."""
    step.update(1 / step.plan.dp)


_SHARDS: Mapping[str, Callable[[DataStep], None]] = MappingProxyType(
    {
        "optimizer": _shard_optimizer,
        "gradients": _shard_gradients,
        "parameters": _shard_gradients,
    }
)


def _average(step: DataStep) -> None:
    """Weights and momentum are averaged every few steps; a step carries its share of that."""
    every = step.plan.sync_every
    assert every is not None
    step.update()
    num_bytes = step.weight_bytes * (2 if step.workload.momentum else 1)
    seconds = all_reduce_s(num_bytes, step.plan.dp, step.link) / every
    step.communicate(f"average, 1/{every} of it", seconds, num_bytes / every)


def _ring(step: DataStep) -> IdealStep:
    """2 (n-1) rounds after the backward, in each of which every rank sends one chunk on."""
    n = step.plan.dp
    chunk_bytes = step.gradient_bytes / n
    links = [LinkClock(step.device.link([rank, (rank + 1) % n])) for rank in range(n)]
    stretches: list[list[Stretch]] = [[] for _ in range(n)]

    def run(starts_s: Sequence[float]) -> list[float]:
        now_s = [start_s + step.now_s for start_s in starts_s]
        for rank, start_s in enumerate(starts_s):
            stretches[rank] = _moved(step.stretches, start_s)
        for number in range(2 * (n - 1)):
            name = "reduce_scatter round" if number < n - 1 else "all_gather round"
            arrivals_s = [
                link.send(ready_s, chunk_bytes) for link, ready_s in zip(links, now_s, strict=True)
            ]
            for rank in range(n):
                end_s = max(now_s[rank], arrivals_s[rank - 1])
                stretches[rank].append(
                    Stretch("comm_dp", name, now_s[rank], end_s, num_bytes=int(chunk_bytes))
                )
                now_s[rank] = end_s
        return _update_all(step, stretches, now_s)

    _, period_s = until_settled(run, n)
    return _ideal(step, period_s, stretches)


def _parameter_server(step: DataStep) -> IdealStep:
    """Rank 0 takes the gradients of one worker after the other, updates, and hands out weights."""
    n = step.plan.dp
    num_bytes = step.gradient_bytes
    takes_s = [point_to_point_s(num_bytes, step.device.link([SERVER, rank])) for rank in range(n)]
    stretches: list[list[Stretch]] = [[] for _ in range(n)]

    def run(starts_s: Sequence[float]) -> list[float]:
        now_s = [start_s + step.now_s for start_s in starts_s]
        for rank, start_s in enumerate(starts_s):
            stretches[rank] = _moved(step.stretches, start_s)

        def meet(worker: int, name: str) -> None:
            end_s = max(now_s[SERVER], now_s[worker]) + takes_s[worker]
            for rank in (SERVER, worker):
                stretch = Stretch("comm_dp", name, now_s[rank], end_s, num_bytes=num_bytes)
                stretches[rank].append(stretch)
                now_s[rank] = end_s

        for worker in range(1, n):
            meet(worker, f"gradient of rank {worker}")
        stretches[SERVER].append(
            Stretch("optimizer", "sgd", now_s[SERVER], now_s[SERVER] + step.update_s)
        )
        now_s[SERVER] += step.update_s
        for worker in range(1, n):
            meet(worker, f"parameters for rank {worker}")
        return now_s

    _, period_s = until_settled(run, n)
    return _ideal(step, period_s, stretches)


def _update_all(
    step: DataStep, stretches: Sequence[list[Stretch]], now_s: Sequence[float]
) -> list[float]:
    """Every rank's own update; returns when each is done."""
    ends_s = [start_s + step.update_s for start_s in now_s]
    for of_rank, start_s, end_s in zip(stretches, now_s, ends_s, strict=True):
        of_rank.append(Stretch("optimizer", "sgd", start_s, end_s))
    return ends_s


def _moved(stretches: Sequence[Stretch], by_s: float) -> list[Stretch]:
    return [s._replace(start_s=s.start_s + by_s, end_s=s.end_s + by_s) for s in stretches]


def _ideal(step: DataStep, step_s: float, stretches: Sequence[Sequence[Stretch]]) -> IdealStep:
    """What all ranks did in the last of many steps."""
    zero_s = min(s.start_s for of_rank in stretches for s in of_rank)
    timeline = [
        Span(rank, 0, s.kind, s.name, s.start_s - zero_s, s.end_s - s.start_s, s.microbatch,
             s.num_bytes, 0)
        for rank, of_rank in enumerate(stretches)
        for s in of_rank
    ]  # fmt: skip
    updates_s = sum(span.duration_s for span in timeline if span.kind == "optimizer")
    breakdown_s = dict.fromkeys(PARTS, 0.0)
    breakdown_s["compute"] = step.compute_s
    breakdown_s["optimizer"] = updates_s / len(stretches)
    breakdown_s["dp_comm_exposed"] = step_s - step.compute_s - breakdown_s["optimizer"]
    return IdealStep(step_s=step_s, breakdown_s=breakdown_s, timeline=timeline)
