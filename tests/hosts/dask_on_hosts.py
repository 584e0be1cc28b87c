"""A Dask cluster of several hosts, as somebody who has one would start it."""

from __future__ import annotations

import contextlib
import socket
import sys
import time

from distributed import Client
from namespaces import Host, Network

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_tasks import prepare

PORT = 8786  # each host has all ports to itself
START_S = 60.0
LOG = "dask.log"  # in each host's folder
ENVIRONMENT = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    # A cut link is noticed after this time instead of 30 s; Dask takes no less than 11 s.
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
}


def start_dask(network: Network, workers_per_host: int) -> str:
    """Start a scheduler on the first host and workers with nannies on all; its address."""
    first = network.hosts[0]
    address = f"tcp://{first.address}:{PORT}"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", first.address]
    _start(
        first,
        [*scheduler, "--port", str(PORT), "--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
    )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((first.address, PORT), 1.0):
            break
        time.sleep(0.05)
    else:
        raise TimeoutError(f"no scheduler at {address} after {START_S:.0f} s")
    for at in range(len(network.hosts)):
        start_workers(network, at, address, workers_per_host)
    with Client(address, timeout=START_S, set_as_default=False) as client:
        client.wait_for_workers(len(network.hosts) * workers_per_host, timeout=START_S)
    return address


def start_workers(network: Network, at: int, address: str, count: int) -> None:
    """Start workers on one host."""
    host = network.hosts[at]
    options = (
        f"--host {host.address} --nworkers {count} --nthreads 1 --memory-limit 2GB --no-dashboard "
        f"--name host{at} --local-directory {host.mounted_at}"
    )
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, *options.split()]
    _start(host, command)


def warm(cluster: Cluster) -> None:
    """Have all fork servers and rendezvous stores run, which stay until the cluster closes."""
    for network in {"", cluster.trusted_network}:
        answers = cluster.client.run(prepare, cluster.plugin_name, "warm", b"", True, network)
        assert all(store and not why for store, why in answers.values())


def _start(host: Host, command: list[str]) -> None:
    with open(host.folder / LOG, "ab") as log:
        host.start(command, ENVIRONMENT, stdout=log, stderr=log)
