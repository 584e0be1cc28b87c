"""Ranks on several hosts: where they are, over which addresses they talk, and what they read."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from dask_on_hosts import start_workers, warm
from namespaces import INTERFACE, Network

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.errors import ClusterError, SettingError
from labkit.preprocess.shards import verify_shards
from labkit.train.models.fruit import perceptron
from labkit.workload import WORKLOADS, Workload

TIMEOUT_S = 600  # with the wait for browsers
pytestmark = pytest.mark.timeout(TIMEOUT_S)

WAIT_S = 120.0


def describe(context: RankContext) -> dict[str, Any]:
    """Where a rank is, and on which addresses it and its store are connected."""
    import torch
    import torch.distributed as dist

    total = torch.tensor([float(context.rank)])
    dist.all_reduce(total)
    own = psutil.Process().net_connections("tcp")
    return {
        "sum": total.item(),
        "host": socket.gethostname(),
        "local_rank": context.local_rank,
        "interface": os.environ["GLOO_SOCKET_IFNAME"],
        "addresses": {c.laddr.ip.removeprefix("::ffff:") for c in own},
        "listening": {c.laddr.ip for c in own if c.status == psutil.CONN_LISTEN},
    }


def test_ranks_on_two_hosts_talk_over_the_trusted_network_and_nowhere_else(
    cluster: Cluster, network: Network
) -> None:
    ranks = cluster.run_ranks(describe, 4)
    first, second = network.hosts
    assert [rank["sum"] for rank in ranks] == [6.0] * 4
    assert [rank["host"] for rank in ranks] == [first.name] * 2 + [second.name] * 2
    assert [rank["local_rank"] for rank in ranks] == [0, 1, 0, 1]
    assert {rank["interface"] for rank in ranks} == {INTERFACE}
    for rank, host in zip(ranks, [first, first, second, second], strict=True):
        assert rank["addresses"] == rank["listening"] == {host.address}


def test_a_run_that_fits_one_host_stays_there_on_loopback(cluster: Cluster) -> None:
    ranks = cluster.run_ranks(describe, 2)
    assert len({rank["host"] for rank in ranks}) == 1
    assert {rank["interface"] for rank in ranks} == {"lo"}
    assert ranks[0]["addresses"] == {"127.0.0.1"}


def test_without_a_trusted_network_a_run_stays_on_one_host_and_is_told_why(address: str) -> None:
    with labkit.launch(4, address=address) as apart:
        warm(apart)
        with pytest.raises(ClusterError, match=r"4 ranks .*but 2 are free on one of 2 hosts"):
            apart.run_ranks(describe, 4)
        with pytest.raises(ClusterError, match=r"trusted, declare it.*trusted_network='10\.1"):
            apart.run_ranks(describe, 3)


def test_a_network_that_the_hosts_are_not_in_is_refused(address: str, network: Network) -> None:
    here = network.hosts[0].address
    with pytest.raises(ClusterError, match=rf"has no address in .*203\.0.*{here} on {INTERFACE}"):
        labkit.launch(4, address=address, trusted_network="203.0.113.0/24")


def test_hybrid_puts_the_model_inside_hosts_and_learns_the_same(
    cluster: Cluster, network: Network
) -> None:
    names = [host.name for host in network.hosts]
    losses = labkit.train("digits", None, cluster, steps=3, evaluate=False).losses
    for plan in (labkit.Plan(dp=2, pp=2), labkit.Plan(dp=2, tp=2)):
        record = labkit.train("digits", plan, cluster, steps=3).wait(WAIT_S)
        assert [device["host"] for device in record.devices] == [names[0]] * 2 + [names[1]] * 2
        assert record.losses == pytest.approx(losses, abs=1e-5)
        assert 0 < record.accuracy["correct"] <= 1


def test_a_model_that_no_host_can_hold_is_spread_with_a_warning(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    run = labkit.train("digits", labkit.Plan(pp=4), cluster, steps=2, evaluate=False)
    assert len({device["host"] for device in run.wait(WAIT_S).devices}) == 2
    assert "replica 0 has ranks on several hosts" in caplog.text


def test_hosts_without_shared_files_get_copies_of_the_bundled_data(
    cluster: Cluster, network: Network
) -> None:
    """Each host has a temporary folder of its own, and fruit is preprocessed in many tasks."""
    assert not cluster.shares_files
    record = labkit.train("fruit", labkit.Plan(dp=4), cluster, steps=2).wait(WAIT_S)
    assert record.status == "done"
    folder = Path(cluster.datasets["fruit"].folder).relative_to(network.hosts[0].mounted_at)
    assert verify_shards(network.hosts[0].folder / folder) > 0
    assert verify_shards(network.hosts[1].folder / folder) > 0


def test_a_host_without_the_users_data_is_named_with_the_way_out(
    cluster: Cluster, network: Network
) -> None:
    folder = network.hosts[0].mounted_at / "mine"
    dataset = labkit.preprocess(cluster=cluster, spec="fruit", rows=4096, out=folder)
    with pytest.raises(ClusterError, match=r"host 10\..* cannot read dataset .*replicas=2"):
        labkit.train("fruit", labkit.Plan(dp=4), cluster, steps=1, dataset=dataset)
    copied = labkit.preprocess(cluster=cluster, spec="fruit", rows=4096, out=folder, replicas=2)
    run = labkit.train("fruit", labkit.Plan(dp=4), cluster, steps=1, dataset=copied)
    assert run.wait(WAIT_S).status == "done"


def test_a_folder_that_all_hosts_share_holds_the_labs_files(
    address: str, network: Network, tmp_path: Path
) -> None:
    with labkit.launch(
        4, address=address, trusted_network=network.cidr, shared_folder=tmp_path
    ) as sharing:
        assert sharing.shares_files
        assert sharing.folder.parent == tmp_path
        assert sharing.folder.stat().st_mode & 0o077 == 0
        run = labkit.train("digits", labkit.Plan(dp=4), sharing, steps=4, checkpoint_every=2)
        assert [saved["step"] for saved in run.wait(WAIT_S).checkpoints] == [2, 4]
        assert (sharing.folder / "datasets" / "digits" / "manifest.json").is_file()
    assert not list(tmp_path.iterdir())


def test_checkpoints_need_a_folder_that_hosts_share(cluster: Cluster) -> None:
    with pytest.raises(SettingError, match=r"checkpoint_every=2, but the cluster's hosts share no"):
        labkit.train("digits", labkit.Plan(dp=4), cluster, steps=4, checkpoint_every=2)


@pytest.mark.parametrize(
    ("shared_folder", "complaint"),
    [
        ("not/absolute", r"is not absolute; give its path on the hosts"),
        ("/nowhere/at/all", r"host 10\..* cannot write in shared_folder='/nowhere/at/all'"),
    ],
)
def test_a_shared_folder_that_is_none_is_refused(
    address: str, shared_folder: str, complaint: str
) -> None:
    with pytest.raises(SettingError, match=complaint):
        labkit.launch(4, address=address, shared_folder=shared_folder)


def test_a_folder_that_only_one_host_sees_is_not_taken_for_shared(
    address: str, network: Network
) -> None:
    before = [set(host.folder.glob("labkit-*")) for host in network.hosts]
    with pytest.raises(SettingError, match=r"host 10\..* does not see what host 10\..* writes in"):
        labkit.launch(4, address=address, shared_folder=network.hosts[0].mounted_at)
    assert [set(host.folder.glob("labkit-*")) for host in network.hosts] == before


def sum_megabytes(context: RankContext, megabytes: float) -> float:
    """Seconds of an all_reduce of so many megabytes."""
    import torch
    import torch.distributed as dist

    values = torch.ones(int(megabytes * 250_000))
    dist.barrier()
    started_s = time.perf_counter()
    dist.all_reduce(values)
    return time.perf_counter() - started_s


def test_a_link_can_be_made_slow_and_fast_again(cluster: Cluster, network: Network) -> None:
    """A ring of 4 ranks on 2 hosts sends 3/2 of the 2 MB over each link: 1.2 s at 20 Mbit/s."""
    for host in network.hosts:
        host.limit(20e6)
    try:
        slow_s = min(cluster.run_ranks(sum_megabytes, 4, 2.0))
    finally:
        for host in network.hosts:
            host.limit(None)
    assert slow_s > 0.8
    assert min(cluster.run_ranks(sum_megabytes, 4, 2.0)) < slow_s


def test_over_a_slow_link_replicas_of_a_host_each_step_faster_than_those_of_a_rank_each(
    cluster: Cluster, network: Network
) -> None:
    """Of 2 MB of gradients 4 replicas send 3 MB over each link, 2 of them 2 MB: 1.3 and 0.8 s."""
    build = partial(perceptron, "wide", width=256, num_blocks=4)
    wide = Workload.of(build, dataset="fruit", name="wide", global_batch=32)
    step_s = {}
    for host in network.hosts:
        host.limit(20e6)
    try:
        for plan in (labkit.Plan(dp=4), labkit.Plan(dp=2, pp=2)):
            run = labkit.train(wide, plan, cluster, steps=3, evaluate=False)
            step_s[plan.strategy] = min(step.seconds for step in run.wait(WAIT_S).steps[1:])
    finally:
        for host in network.hosts:
            host.limit(None)
    assert step_s["hybrid"] < 0.9 * step_s["data"]


def test_what_is_trusted_is_said_among_the_doors(cluster: Cluster, network: Network) -> None:
    (said,) = (door for door in cluster.doors if door.startswith("Ranks"))
    assert f"on several hosts the network {network.cidr}, as it was declared trusted" in said


@pytest.fixture(scope="module")
def on_three_hosts(cluster: Cluster, network: Network, address: str) -> Cluster:
    """The lab once a third host has joined, with the processes that stay there as well."""
    network.add_host()
    start_workers(network, 2, address, 2)
    cluster.client.wait_for_workers(6, timeout=WAIT_S)
    warm(cluster)
    return cluster


def test_a_host_that_joins_gets_a_replica_and_three_hosts_learn_the_same(
    on_three_hosts: Cluster, network: Network
) -> None:
    digits = WORKLOADS["digits"].with_settings(global_batch=48)
    plan = labkit.Plan(dp=3, pp=2)
    record = labkit.train(digits, plan, on_three_hosts, steps=3, evaluate=False).wait(WAIT_S)
    inside = [host.name for host in network.hosts for _ in range(plan.pp)]
    assert len(set(inside)) == 3
    assert [device["host"] for device in record.devices] == inside
    alone = labkit.train(digits, None, on_three_hosts, steps=3, evaluate=False)
    assert record.losses == pytest.approx(alone.wait(WAIT_S).losses, abs=1e-5)
