"""The lab on real GPUs: found, used one by each rank, shared, measured, and given back."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pynvml
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.devices import find_devices
from labkit.cluster.gang import Gang
from labkit.cluster.rank_context import RankContext
from labkit.doctor import check_devices, installed_versions
from labkit.errors import RankFailed
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.runs.run import Run
from labkit.train.checkpoint_files import Checkpoints
from labkit.train.job import TrainJob
from labkit.train.program import train_rank
from labkit.train.train import train
from labkit.workload import WORKLOADS

pytestmark = pytest.mark.gpu

NUM_STEPS = 10
SOON_S = 60.0
TOLERANCE = 1e-4  # of a loss: float32, summed in another order, over ten steps
HELD_BYTES = 2**30


@pytest.fixture(scope="session")
def losses_of(cpus: Cluster) -> Any:
    """Losses of a workload on one CPU rank; each is trained once."""
    known: dict[str, list[float]] = {}

    def find(name: str) -> list[float]:
        if name not in known:
            known[name] = train(name, None, cpus, steps=NUM_STEPS, evaluate=False).losses
        return known[name]

    return find


def compare(run: Run, expected: list[float], tolerance: float = TOLERANCE) -> RunRecord:
    """Wait for a run and check its losses; the difference is printed with ``-rP``."""
    record = run.wait(SOON_S)
    difference = max(abs(a - b) for a, b in zip(record.losses, expected, strict=True))
    print(f"{record.workload['name']} {record.plan}: losses differ by {difference:.1e}")
    assert record.status == "done"
    assert difference <= tolerance
    return record


def used_bytes() -> int:
    """Memory in use on the first GPU that is visible, whoever uses it."""
    pynvml.nvmlInit()
    try:
        index = find_devices().indices[0]
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(index))
            if index.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(index)
        )
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    finally:
        pynvml.nvmlShutdown()


# -- found and taken -------------------------------------------------------------------------------


def test_the_gpus_are_found_and_the_doctor_names_them() -> None:
    devices = find_devices()
    assert devices.kind == "gpu"
    assert not devices.stand_in
    assert all(devices.names)
    check = check_devices(devices, installed_versions())
    print(check)
    assert check.level == "ok"
    assert devices.names[0] in check.found


def test_launch_takes_a_worker_for_each_gpu_and_nccl(gpus: Cluster) -> None:
    devices = find_devices()
    assert gpus.kind == "gpu"
    assert gpus.num_workers == devices.count
    assert devices.why in gpus.why
    assert "one GPU each" in gpus.why
    assert (gpus.backend, gpus.rank_device) == ("nccl", "cuda:0")
    assert "every rank has its own GPU" in gpus.backend_why
    assert [w["device"] for w in gpus.workers] == [f"GPU {index}" for index in devices.indices]


def test_every_rank_has_a_gpu_of_its_own_and_nccl_sums(gpus: Cluster) -> None:
    def look(context: RankContext) -> tuple[Any, ...]:
        import torch
        import torch.distributed as dist

        x = torch.ones(1000, device=context.device)
        dist.all_reduce(x)
        on_host = torch.ones(1)
        dist.all_reduce(on_host)  # beside NCCL, by gloo
        assert float(on_host) == context.world_size
        properties = torch.cuda.get_device_properties(0)
        return (
            str(properties.uuid),
            torch.cuda.is_available(),
            torch.cuda.device_count(),
            context.backend,
            "nccl" in dist.get_backend(),
            float(x.sum()),
        )

    seen = gpus.run_ranks(look, gpus.num_workers, timeout_s=SOON_S)
    assert len({uuid for uuid, *_ in seen}) == gpus.num_workers
    for _, available, count, backend, by_nccl, total in seen:
        assert (available, count, backend, by_nccl) == (True, 1, "nccl", True)
        assert total == 1000 * gpus.num_workers


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_gpu_trains_as_a_cpu_does(gpus: Cluster, losses_of: Any, name: str) -> None:
    run = train(name, None, gpus, steps=NUM_STEPS)
    record = compare(run, losses_of(name))
    assert [d["backend"] for d in record.devices] == ["nccl"]
    assert record.accuracy["samples"] > 0


def test_the_record_of_a_gpu_adds_up(gpus: Cluster) -> None:
    record = train("fruit", None, gpus, steps=600).wait(SOON_S)
    assert sum(record.attribution_s.values()) == pytest.approx(record.wall_s)
    print(record.attribution_s, record.throughput_samples_per_s)
    step = [span for span in record.spans if span.step == 500]
    print(*(f"{span.kind} {1e6 * span.duration_s:.0f} us" for span in step), sep=", ")
    assert record.throughput_samples_per_s > 0
    assert {"forward", "backward", "optimizer", "data"} <= {span.kind for span in record.spans}
    assert record.attribution_s["compute"] > record.attribution_s["other"]
    (parts,) = record.memory_bytes["formula"]
    weights = sum(parts[name] for name in ("parameters", "gradients", "optimizer"))
    print(record.memory_bytes)
    assert weights <= record.memory_bytes_per_rank[0] < 2**30, "what torch's allocator gave out"


def test_the_load_of_a_gpu_is_sampled_while_it_trains(gpus: Cluster) -> None:
    record = train("deep", None, gpus, steps=400, evaluate=False).wait(SOON_S)
    assert record.load
    print(record.load)
    assert max(load.busy or 0.0 for load in record.load) > 0.02
    assert all(load.busy is None or 0 <= load.busy <= 1 for load in record.load)
    assert all(load.memory_bytes > 2**26 for load in record.load)


def test_bfloat16_trains_on_a_gpu(gpus: Cluster, losses_of: Any) -> None:
    workload = WORKLOADS["text"].with_settings(precision="bfloat16")
    compare(train(workload, None, gpus, steps=NUM_STEPS), losses_of("text"), tolerance=5e-2)


def test_activations_that_are_computed_again_change_nothing(gpus: Cluster, losses_of: Any) -> None:
    plan = Plan(checkpoint_activations=True, microbatches=2)
    compare(train("digits", plan, gpus, steps=NUM_STEPS), losses_of("digits"))


def train_with_a_break(
    cluster: Cluster, before: Plan, after: Plan, folder: Path
) -> tuple[list[float], list[float]]:
    """Losses of digits up to the end under one plan, and from the middle on under another."""
    train("digits", None, cluster, steps=1, evaluate=False).wait(SOON_S)  # prepares the dataset
    middle = NUM_STEPS // 2
    job = TrainJob(
        workload=WORKLOADS["digits"],
        plan=before,
        dataset_folder=str(cluster.datasets["digits"].folder),
        num_steps=NUM_STEPS,
        evaluate=False,
        checkpoints=Checkpoints(folder=str(folder), every_steps=middle),
    )
    whole = cluster.run_ranks(train_rank, before.world_size, job, timeout_s=SOON_S)
    saved = str(folder / f"step-{middle:06d}")
    job = replace(job, plan=after, checkpoints=None, resume_from=saved, start_step=middle)
    rest = cluster.run_ranks(train_rank, after.world_size, job, timeout_s=SOON_S)
    return [s.loss for s in whole[0].steps], [s.loss for s in rest[0].steps]


def test_a_training_on_a_gpu_goes_on_from_its_checkpoint(gpus: Cluster, tmp_path: Path) -> None:
    whole, rest = train_with_a_break(gpus, Plan(), Plan(), tmp_path / "checkpoints")
    assert rest == pytest.approx(whole[NUM_STEPS // 2 :], abs=TOLERANCE)


def test_ranks_that_share_a_gpu_go_on_under_another_plan(
    shared_gpus: Cluster, tmp_path: Path
) -> None:
    plans = Plan(dp=2, shard="parameters"), Plan(pp=2, tp=2)
    whole, rest = train_with_a_break(shared_gpus, *plans, tmp_path / "checkpoints")
    assert rest == pytest.approx(whole[NUM_STEPS // 2 :], abs=TOLERANCE)


def test_an_emulated_run_keeps_its_pace_on_a_gpu(gpus: Cluster) -> None:
    record = train("fruit", None, gpus, steps=5, emulate="demo").wait(SOON_S)
    assert (record.kind, record.status) == ("emulated", "done")
    print(record.emulation)


PLANS = (
    Plan(dp=2),
    Plan(dp=2, microbatches=2),
    Plan(dp=4),
    Plan(dp=2, sync="ring"),
    Plan(dp=2, sync="average", sync_every=1),
    Plan(dp=2, sync="parameter_server"),
    Plan(dp=2, compression="bf16"),
    Plan(dp=2, shard="optimizer"),
    Plan(dp=2, shard="gradients"),
    Plan(dp=2, shard="parameters"),
    Plan(pp=2),
    Plan(pp=4, schedule="gpipe"),
    Plan(pp=2, schedule="interleaved1f1b"),
    Plan(pp=2, schedule="zero_bubble"),
    Plan(tp=2),
    Plan(tp=4),
    Plan(tp=2, tensor_style="dtensor"),
    Plan(tp=2, sequence_parallel=True),
    Plan(dp=2, pp=2),
    Plan(dp=2, tp=2),
    Plan(pp=2, tp=2),
)
APPROXIMATE = {"bf16": 5e-3}


def name_of(plan: Plan) -> str:
    """A plan by what differs from the default, for the names of tests."""
    usual = Plan().to_dict()
    return "-".join(f"{k}={v}" for k, v in plan.to_dict().items() if v != usual[k])


def check_async(cluster: Cluster) -> None:
    """Whose losses depend on who comes first."""
    plan = Plan(dp=2, sync="async_parameter_server")
    record = train("digits", plan, cluster, steps=40).wait(SOON_S)
    assert record.status == "done"
    assert record.losses[-1] < record.losses[0]
    assert record.staleness


def check_plan(cluster: Cluster, plan: Plan, losses_of: Any) -> RunRecord:
    """Train under a plan, and compare with one CPU rank."""
    workload = "text" if plan.sequence_parallel or plan.tensor_style == "dtensor" else "digits"
    tolerance = APPROXIMATE.get(plan.compression, TOLERANCE)
    run = train(workload, plan, cluster, steps=NUM_STEPS)
    return compare(run, losses_of(workload), tolerance)


@pytest.mark.parametrize("plan", PLANS, ids=name_of)
def test_a_plan_on_gpus_of_their_own_changes_no_loss(
    gpus: Cluster, losses_of: Any, plan: Plan
) -> None:
    if plan.world_size > gpus.num_workers:
        pytest.skip(f"not run, it needs {plan.world_size} real GPUs: {name_of(plan)}")
    record = check_plan(gpus, plan, losses_of)
    assert {d["backend"] for d in record.devices} == {"nccl"}


@pytest.mark.parametrize("plan", PLANS, ids=name_of)
def test_a_plan_whose_ranks_share_gpus_changes_no_loss(
    shared_gpus: Cluster, losses_of: Any, plan: Plan
) -> None:
    record = check_plan(shared_gpus, plan, losses_of)
    assert {d["backend"] for d in record.devices} == {"gloo"}
    assert record.comm_bytes["measured"] == record.comm_bytes["formula"]


def test_an_asynchronous_server_learns_on_shared_gpus(shared_gpus: Cluster) -> None:
    check_async(shared_gpus)


def test_an_asynchronous_server_learns_on_gpus_of_their_own(gpus: Cluster) -> None:
    if gpus.num_workers < 2:
        pytest.skip("not run, it needs 2 real GPUs: an asynchronous server")
    check_async(gpus)


def test_an_emulated_run_of_ranks_that_share_a_gpu(shared_gpus: Cluster) -> None:
    run = train("fruit", Plan(dp=2, pp=2), shared_gpus, steps=3, emulate="demo")
    assert run.wait(SOON_S).status == "done"


# -- more workers than GPUs ------------------------------------------------------------------------


def test_workers_beyond_the_gpus_share_them_with_gloo_and_it_is_said(shared_gpus: Cluster) -> None:
    num_gpus = find_devices().count
    assert shared_gpus.kind == "gpu"
    assert shared_gpus.num_workers > num_gpus
    assert "which share them" in shared_gpus.why
    assert (shared_gpus.backend, shared_gpus.rank_device) == ("gloo", "cuda:0")
    assert "NCCL needs one for each" in shared_gpus.backend_why

    def own_uuid(context: RankContext) -> str:
        import torch

        return str(torch.cuda.get_device_properties(0).uuid)

    seen = shared_gpus.run_ranks(own_uuid, shared_gpus.num_workers, timeout_s=SOON_S)
    assert len(set(seen)) == num_gpus


def test_launch_by_itself_does_not_share() -> None:
    with labkit.launch(find_devices().count + 1) as cluster:
        assert cluster.kind == "cpu"
        assert "device='gpu' lets them share" in cluster.why


# -- failures --------------------------------------------------------------------------------------


def hold_memory(context: RankContext, num_bytes: int) -> None:
    """Take memory of the GPU, say so, and wait to be ended."""
    import torch

    held = torch.zeros(num_bytes, dtype=torch.uint8, device=context.device)
    torch.cuda.synchronize()
    context.emit({"type": "holding", "pid": os.getpid(), "sum": int(held.sum())})
    threading.Event().wait()


def start_holding(cluster: Cluster) -> tuple[Gang, int]:
    """A rank that holds memory, and its process."""
    held = threading.Event()
    pids: list[int] = []

    def take(rank: int, event: dict[str, Any]) -> None:
        if event["type"] == "holding":
            pids.append(event["pid"])
            held.set()

    gang = cluster.start_ranks(hold_memory, 1, (HELD_BYTES,), on_event=take)
    assert held.wait(SOON_S)
    return gang, pids[0]


def wait_until_used(least: int, most: int) -> int:
    """Wait until the memory in use on the GPU is between the two; returns it."""
    deadline = time.monotonic() + 10.0
    while not least <= (used := used_bytes()) <= most and time.monotonic() < deadline:
        time.sleep(0.05)
    assert least <= used <= most
    return used


def test_a_killed_rank_gives_its_memory_back_and_the_next_run_works(gpus: Cluster) -> None:
    before = used_bytes()
    gang, pid = start_holding(gpus)
    wait_until_used(before + HELD_BYTES, 2**50)
    psutil.Process(pid).kill()
    with pytest.raises(RankFailed, match=r"rank 0 died: killed by SIGKILL"):
        gang.wait(SOON_S)
    wait_until_used(0, before + 2**26)
    assert train("fruit", None, gpus, steps=NUM_STEPS).wait(SOON_S).status == "done"


@pytest.mark.parametrize("on", ["gpus", "shared_gpus"])
def test_a_run_on_a_gpu_goes_on_by_itself_after_a_rank_was_killed(
    request: pytest.FixtureRequest, on: str
) -> None:
    cluster: Cluster = request.getfixturevalue(on)
    plan = Plan() if on == "gpus" else Plan(dp=2)
    steps = 800
    undisturbed = train("digits", plan, cluster, steps=steps, evaluate=False).losses
    run = train("digits", plan, cluster, steps=steps, evaluate=False, checkpoint_every=100)
    deadline = time.monotonic() + SOON_S
    while len(run.view().steps) < 250 and time.monotonic() < deadline:
        time.sleep(0.01)
    psutil.Process(run.rank_pids()[plan.world_size - 1]).kill()
    record = run.wait(SOON_S)
    print(record.recoveries)
    assert (record.status, record.restarts) == ("done", 1)
    assert record.losses == pytest.approx(undisturbed, abs=1e-2)
    assert record.losses[:50] == pytest.approx(undisturbed[:50], abs=TOLERANCE)


def test_a_stopped_rank_gives_its_memory_back(gpus: Cluster) -> None:
    before = used_bytes()
    run = train("deep", None, gpus, steps=1_000_000, evaluate=False)
    deadline = time.monotonic() + SOON_S
    while not run.view().steps and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    run.stop()
    assert run.wait(SOON_S).status == "stopped"
    assert time.monotonic() - started < 4.0
    wait_until_used(0, before + 2**26)


def test_a_killed_worker_comes_back_on_the_same_gpu() -> None:
    def own_uuid(context: RankContext) -> str:
        import torch

        return str(torch.cuda.get_device_properties(0).uuid)

    with labkit.launch(device="gpu") as cluster:
        num_workers = cluster.num_workers
        before = {w["name"]: w for w in cluster.workers}
        seen = cluster.run_ranks(own_uuid, num_workers, timeout_s=SOON_S)
        psutil.Process(before[0]["pid"]).kill()
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            now = {w["name"]: w for w in cluster.workers}
            if len(now) == num_workers and now[0]["pid"] != before[0]["pid"]:
                break
            time.sleep(0.1)
        assert {n: w["device"] for n, w in now.items()} == {
            n: w["device"] for n, w in before.items()
        }
        again = cluster.run_ranks(own_uuid, num_workers, timeout_s=SOON_S)
        assert sorted(again) == sorted(seen)
