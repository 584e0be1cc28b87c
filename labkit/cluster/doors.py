"""The doors of a cluster: where somebody could come in, and how each is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.cluster.fork_server import HOST_NETWORK, NETWORK_FILE
from labkit.cluster.security import CERTIFICATE_FILE

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster


def describe_doors(cluster: Cluster) -> list[str]:
    """One plain sentence for each door of a cluster."""
    if cluster.closed:
        return ["The cluster is closed, and so is every door."]
    return [_dask(cluster), _pages(cluster), _ranks(cluster), _files(cluster)]


def _dask(cluster: Cluster) -> str:
    assert cluster.client.scheduler is not None, "the client is connected"
    address = str(cluster.client.scheduler.address)
    scheme, _, place = address.partition("://")
    if scheme != "tls":
        return (
            f"Scheduler and workers at {place}: open and without encryption; who reaches them can "
            "run code there."
        )
    whose = "Dask's settings or security= name"
    if cluster.kind != "existing":
        whose = f"is made for this cluster ({CERTIFICATE_FILE} in its folder)"
    return (
        f"Scheduler and workers at {place}: TLS; nobody gets in without the certificate that "
        f"{whose}."
    )


def _pages(cluster: Cluster) -> str:
    if cluster.kind == "existing":
        return "Dask's web pages: as those who started the scheduler have set them."
    if cluster.dashboard_url:
        return (
            f"Dask's dashboard at {cluster.dashboard_url}: open to every user of this machine, as "
            "was asked for; its other web pages: closed."
        )
    return "Dask's web pages: closed."


def _ranks(cluster: Cluster) -> str:
    what = "Ranks, their store and their collectives"
    if cluster.kind == "existing":
        text = (
            f"{what}: the loopback of the workers' host, where every user of it can take part, and "
            "so run code as the workers do"
        )
        if cluster.trusted_network:
            text += (
                f"; of a run on several hosts the network {cluster.trusted_network}, as it was "
                "declared trusted: who reaches their ports there can take part in the same way"
            )
        return f"{text}."
    try:
        obstacle = network_obstacle(cluster)
    except FileNotFoundError:
        return f"{what}: there are none."
    if not obstacle:
        return f"{what}: a network of their own, which nobody else can enter."
    return (
        f"{what}: this machine's loopback, where every other user of it can take part, and so run "
        f"code as you ({obstacle})."
    )


def network_obstacle(cluster: Cluster) -> str:
    """Why the ranks have no network of their own; empty where they do.

    Raises:
        FileNotFoundError: there are no ranks, for there is no fork server.
    """
    obstacle = (cluster.folder / NETWORK_FILE).read_text(encoding="utf-8")
    if obstacle == HOST_NETWORK and cluster.backend == "nccl":
        return "ranks that use NCCL stay on it"
    return obstacle


def _files(cluster: Cluster) -> str:
    where = "on each worker's host " if cluster.kind == "existing" else ""
    return f"Files, logs and the ranks' Unix socket: {cluster.folder} {where}(mode 0700)."
