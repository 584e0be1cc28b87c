"""Find the runs that are on a scheduler, whoever started them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.cluster import Cluster
from labkit.cluster.connect import connect
from labkit.cluster.posted_run import FoundRun
from labkit.errors import ClusterError, SettingError

if TYPE_CHECKING:
    from distributed import Client, Security


def runs_on(
    cluster: Cluster | str, *, security: Security | Path | str | None = None
) -> list[FoundRun]:
    """The runs that train, start or wait on a scheduler: those of all its clients.

    Only runs that a lab started are known, from the moment that their data are being prepared.

    Args:
        cluster: from ``labkit.launch``, or the address of a scheduler; then nothing is started
            there, and nothing is left.
        security: certificates for an address that speaks TLS, as in ``launch``.
    Returns:
        By their beginning, the oldest first.
    Raises:
        SettingError: no scheduler answers at that address, or it has never seen a lab.
        ClusterError: the cluster is closed, or its scheduler does not answer.
    """
    with client_of(cluster, security) as client:
        return [run for run in all_runs(client) if not run.ended]


@contextmanager
def client_of(
    cluster: Cluster | str, security: Security | Path | str | None = None
) -> Iterator[Client]:
    """The client of a cluster, or one for an address that is closed again."""
    if isinstance(cluster, Cluster):
        if cluster.closed:
            raise ClusterError("the cluster is closed; launch a new one")
        yield cluster.client
        return
    client = connect(cluster, security)
    try:
        yield client
    finally:
        client.close()


def own_client(cluster: Cluster | str, security: Security | Path | str | None = None) -> Client:
    """A client of the same scheduler for one purpose; its caller closes it."""
    from distributed import Client

    if isinstance(cluster, str):
        return connect(cluster, security)
    with client_of(cluster) as client:
        assert client.scheduler is not None, "the client is connected"
        return Client(client.scheduler.address, security=client.security, set_as_default=False)


def all_runs(client: Client) -> list[FoundRun]:
    """Those too that ended lately."""
    from labkit.cluster.run_board import find_runs

    found: list[FoundRun] = ask_scheduler(client, find_runs)
    return found


def choose_run(found: Sequence[FoundRun], run: str) -> FoundRun:
    """The run of that name, or the only one whose name begins so.

    Raises:
        SettingError: there is none, or more than one; the message says which there are.
    """
    matching = [each for each in found if each.run == run]
    matching = matching or [each for each in found if run and each.run.startswith(run)]
    if len(matching) == 1:
        return matching[0]
    there = ", ".join(each.run for each in matching or found if matching or not each.ended)
    if matching:
        raise SettingError(f"run {run!r} could be any of {there}; give more of its name")
    raise SettingError(
        f"run {run!r} is not on this scheduler; "
        + (f"choose from {there}" if there else "no run is")
    )
