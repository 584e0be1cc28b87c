"""dask-cuda's own cluster on GPUs of a stand-in driver: workers, sharing, restarts, load.

No GPU computes here: the ranks do, on the CPU. Everything before that is the real path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.load import gpu_handle, own_gpu, read_gpu
from labkit.cluster.rank_context import RankContext
from labkit.figures.load import load_figure
from labkit.figures.picture import alt_of
from labkit.runs.record import RunRecord

NAME = "stand-in GPU (no hardware)"
SOON_S = 60.0


def environment_of_worker() -> tuple[str, int]:
    """On a worker: what it sees of the GPUs, and its process."""
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def load_of_worker() -> tuple[float | None, int]:
    """On a worker: how busy its GPU is, and the bytes in use there."""
    with gpu_handle(own_gpu()) as handle:
        return read_gpu(handle)


def environment_of_rank(context: RankContext) -> tuple[str, str, str, str]:
    """In a rank: what it sees of the GPUs, its own, its device and its backend."""
    import torch.distributed as dist

    visible = os.environ["CUDA_VISIBLE_DEVICES"]
    return visible, context.gpu, context.device, dist.get_backend()


def facts_of(cluster: Cluster) -> dict[str, Any]:
    """What tests ask about a cluster."""
    workers = cluster.workers
    seen = cluster.call_workers(environment_of_worker)
    folder = Path(os.environ["STAND_IN_STATE"])
    contexts = [p.name.split(".") for p in folder.iterdir() if p.name.count(".") == 2]
    pids = {worker["pid"]: worker["name"] for worker in workers}
    return {
        "kind": cluster.kind,
        "why": cluster.why,
        "backend": cluster.backend,
        "backend_why": cluster.backend_why,
        "names": [worker["name"] for worker in workers],
        "devices": [worker["device"] for worker in workers],
        "visible": [seen[worker["address"]][0] for worker in workers],
        "contexts": sorted(
            (pids[int(pid)], int(gpu), int(instance))
            for gpu, instance, pid in contexts
            if int(pid) in pids
        ),
        "ranks": cluster.run_ranks(environment_of_rank, cluster.num_workers, timeout_s=SOON_S),
    }


def launch_and_look(num_workers: int | None, device: Any = "auto") -> dict[str, Any]:
    with labkit.launch(num_workers, device=device) as cluster:
        return facts_of(cluster)


def whole(gpu: int) -> str:
    """UUID of a whole GPU, as the stand-in gives them out."""
    return f"GPU-57a4d140-0000-4000-8000-{gpu:012x}"


def instance(number: int) -> str:
    """UUID of an instance of the first GPU."""
    return f"MIG-57a4d140-0000-5000-8000-{0:08x}{number:04x}"


# What the driver has and CUDA_VISIBLE_DEVICES says; the kind of cluster and its devices; its why.
LAUNCHED: dict[str, tuple[dict[str, str], str, list[str], str]] = {
    "one whole GPU": ({"STAND_IN_GPUS": "1"}, "gpu", ["GPU 0"], "found 1 GPU"),
    "a chosen instance": (
        {"STAND_IN_INSTANCES": "2", "CUDA_VISIBLE_DEVICES": instance(1)},
        "gpu",
        [f"GPU {instance(1)}"],
        "found 1 GPU",
    ),
    "no GPU": ({"STAND_IN_GPUS": "0"}, "cpu", ["CPU"], "no GPU is present"),
}


def launch_each(drivers: dict[str, dict[str, str]]) -> dict[str, tuple[str, list[str], str]]:
    """Kind, devices and why of a cluster of one worker on each driver, one after the other."""
    found, before = {}, dict(os.environ)
    for name, driver in drivers.items():
        os.environ.update(driver)
        with labkit.launch(1) as cluster:
            found[name] = cluster.kind, [w["device"] for w in cluster.workers], cluster.why
        for key in driver:
            os.environ.pop(key)
        os.environ.update(before)
    return found


def test_one_gpu_a_chosen_instance_and_none_at_all_are_launched(
    on_stand_in: Callable[..., Any],
) -> None:
    found = on_stand_in(launch_each, {name: case[0] for name, case in LAUNCHED.items()}, gpus=1)
    for name, (_, kind, devices, why) in LAUNCHED.items():
        assert found[name][:2] == (kind, devices), name
        assert why in found[name][2]


def test_there_is_a_worker_for_each_gpu_with_a_context_on_its_own(
    on_stand_in: Callable[..., Any],
) -> None:
    gpus = 4
    facts = on_stand_in(launch_and_look, None, gpus=gpus)
    assert facts["kind"] == "gpu"
    assert f"found {gpus} GPU" in facts["why"]
    assert "a stand-in driver: no GPU computes" in facts["why"]
    assert f"{gpus} worker processes, one GPU each" in facts["why"]
    assert facts["names"] == list(range(gpus))
    assert facts["devices"] == [f"GPU {index}" for index in range(gpus)]
    for index, visible in enumerate(facts["visible"]):
        rotated = [str((index + i) % gpus) for i in range(gpus)]
        assert visible == ",".join(rotated), "dask-cuda puts a worker's own GPU first"
    assert facts["contexts"] == [(index, index, -1) for index in range(gpus)]


Trained = tuple[dict[str, Any], RunRecord]


def train_and_look() -> Trained:
    """Facts of a cluster, and the record of a training on two GPUs."""
    with labkit.launch() as cluster:
        facts = facts_of(cluster)
        run = labkit.train("digits", labkit.Plan(dp=2), cluster, steps=5, evaluate=False)
        return facts, run.wait(SOON_S)


@pytest.fixture(scope="module")
def trained_on_two(
    on_stand_in: Callable[..., Any],
) -> Trained:
    """What ``train_and_look`` found on two GPUs that are busy."""
    load = {0: f"73 {3 * 2**30}", 1: f"20 {2**30}"}
    facts, record = on_stand_in(train_and_look, load=load)
    return facts, record


def test_nccl_is_never_chosen_on_a_stand_in_and_the_reason_is_said(trained_on_two: Trained) -> None:
    facts, record = trained_on_two
    assert facts["backend"] == "gloo"
    assert "a stand-in driver has no GPU that computes" in facts["backend_why"]
    assert facts["ranks"] == [(str(i), str(i), "cpu", "gloo") for i in range(2)]
    assert record.status == "done"
    assert len(record.losses) == 5
    assert [d["device"] for d in record.devices] == ["GPU 0", "GPU 1"]
    assert {d["backend"] for d in record.devices} == {"gloo"}
    assert {d["backend_why"] for d in record.devices} == {facts["backend_why"]}


def test_the_load_that_the_driver_tells_is_in_the_record(trained_on_two: Trained) -> None:
    _, record = trained_on_two
    found = {(rank, busy, num_bytes) for rank, _, busy, num_bytes in record.load}
    assert found == {(0, 0.73, 3 * 2**30), (1, 0.20, 2**30)}


def test_the_load_figure_shows_what_the_driver_told(trained_on_two: Trained) -> None:
    said = alt_of(load_figure(trained_on_two[1]))
    assert said.startswith("How busy the GPUs were")
    assert "Mean of each: rank 0 73 %, rank 1 20 %" in said
    assert "at most 3.22 GB of a GPU in use" in said


def test_fewer_workers_than_gpus_and_a_subset_chosen_by_index_and_uuid(
    on_stand_in: Callable[..., Any],
) -> None:
    facts = on_stand_in(launch_and_look, 2, gpus=4, visible=f"3,{whole(1)},0")
    assert facts["devices"] == ["GPU 3", "GPU 1"]
    assert [rank[0] for rank in facts["ranks"]] == ["3", "1"]
    assert facts["contexts"] == [(0, 3, -1), (1, 1, -1)]


def test_instances_of_a_gpu_have_workers_and_tell_their_memory_but_not_how_busy_they_are(
    on_stand_in: Callable[..., Any],
) -> None:
    def look() -> tuple[dict[str, Any], list[tuple[float | None, int]]]:
        with labkit.launch() as cluster:
            load = list(cluster.call_workers(load_of_worker).values())  # before there are ranks
            return facts_of(cluster), load

    facts, load = on_stand_in(look, gpus=1, instances=2)
    uuids = [instance(number) for number in range(2)]
    assert facts["kind"] == "gpu"
    assert facts["devices"] == [f"GPU {uuid}" for uuid in uuids]
    assert facts["contexts"] == [(0, 0, 0), (1, 0, 1)]
    assert [rank[1] for rank in facts["ranks"]] == uuids
    context_of_worker = 300 * 2**20
    assert load == [(None, context_of_worker)] * 2


def kill_and_look() -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts before and after the second worker was killed and came back."""
    with labkit.launch(3, device="gpu") as cluster:
        before = facts_of(cluster)
        victim = cluster.workers[1]["pid"]
        psutil.Process(victim).kill()
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            now = cluster.workers
            if len(now) == 3 and victim not in {worker["pid"] for worker in now}:
                break
            time.sleep(0.05)
        return before, facts_of(cluster)


def test_workers_share_gpus_when_asked_to_and_one_that_was_killed_comes_back_on_its_own(
    on_stand_in: Callable[..., Any],
) -> None:
    before, after = on_stand_in(kill_and_look)
    assert before["kind"] == "gpu"
    assert "3 worker processes, which share them" in before["why"]
    assert before["names"] == [0, 1, 2]
    assert before["devices"] == ["GPU 0", "GPU 1", "GPU 0"]
    assert before["contexts"] == [(0, 0, -1), (1, 1, -1), (2, 0, -1)]
    assert after["names"] == before["names"]
    assert after["devices"] == before["devices"]
    assert after["visible"] == before["visible"]
    assert after["contexts"] == before["contexts"]
    assert after["ranks"] == before["ranks"]
