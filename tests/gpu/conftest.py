"""Tests on real GPUs. Without one they are skipped, and the summary names each as not run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.devices import find_devices
from labkit.cluster.rank_tasks import prepare


def num_real_gpus() -> int:
    """GPUs of this host that compute."""
    devices = find_devices()
    return devices.count if devices.kind == "gpu" and not devices.stand_in else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test is named in its own reason, so that the summary does not fold all into one line."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not num_real_gpus():
        for item in marked:
            name = getattr(item, "originalname", item.name)
            reason = f"not run, it needs a real GPU: {name}"
            item.add_marker(pytest.mark.skip(reason=reason))


def warm(cluster: Cluster) -> Cluster:
    """Have the rendezvous store run, which a cluster keeps until it is closed."""
    answers = cluster.client.run(prepare, cluster.plugin_name, "warm", b"", True)
    assert all(store and not why for store, why in answers.values())
    return cluster


@pytest.fixture(scope="session")
def gpus() -> Iterator[Cluster]:
    """What ``launch`` makes of this host by itself: a worker for each GPU."""
    with labkit.launch() as cluster:
        yield warm(cluster)


@pytest.fixture(scope="session")
def shared_gpus() -> Iterator[Cluster]:
    """Two workers for each GPU, and four at least."""
    with labkit.launch(max(4, 2 * num_real_gpus()), device="gpu") as cluster:
        yield warm(cluster)


@pytest.fixture(scope="session")
def cpus() -> Iterator[Cluster]:
    """One CPU worker, to compare with."""
    with labkit.launch(1, device="cpu") as cluster:
        yield warm(cluster)
