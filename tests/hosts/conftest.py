"""Hosts with two Dask workers each, and the lab on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from dask_on_hosts import start_dask, warm
from namespaces import Network, why_not

import labkit
from labkit.cluster.cluster import Cluster


@pytest.fixture(scope="session", autouse=True)
def namespaces_allowed() -> None:
    """These tests need the rights to make network namespaces."""
    reason = why_not()
    if reason:
        pytest.skip(f"no hosts to test on: {reason}")


@pytest.fixture(scope="module")
def network(
    tests_apart: Callable[..., AbstractContextManager[None]],
) -> Iterator[Network]:
    """Two hosts that share no temporary folder."""
    with tests_apart("hosts", "browser"), Network(2) as network:
        yield network


@pytest.fixture(scope="module")
def address(network: Network) -> str:
    """Of the scheduler."""
    return start_dask(network, 2)


@pytest.fixture(scope="module")
def cluster(network: Network, address: str) -> Iterator[Cluster]:
    """The lab on both hosts, with all its processes that stay until it closes."""
    with labkit.launch(4, address=address, trusted_network=network.cidr) as cluster:
        warm(cluster)
        yield cluster
