"""Start a cluster on this host's GPUs or cores, or connect to one that runs elsewhere."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from labkit.cluster.addresses import check_network, look_for_interface
from labkit.cluster.ask_scheduler import ask_scheduler, worker_addresses
from labkit.cluster.backend import ON_CORES, Backend, choose_backend
from labkit.cluster.capacity import check_memory, choose_kind
from labkit.cluster.clear_host import close_owned
from labkit.cluster.cluster import Cluster, ClusterKind
from labkit.cluster.connect import CONNECT_S, connect
from labkit.cluster.devices import DeviceKind, Devices, find_devices
from labkit.cluster.fork_server import OWNER_FILE
from labkit.cluster.launch_errors import (
    check_not_importing_main,
    describe_causes,
    logs_of,
    script_note,
)
from labkit.cluster.security import warn_of_plain
from labkit.cluster.shared_files import find_home, make_shared_folder, stay_at_home
from labkit.cluster.workers import ask_workers, register
from labkit.errors import ClusterError, LabError, SettingError

if TYPE_CHECKING:
    from distributed import Client, Security
    from distributed.deploy.spec import SpecCluster

LEAST_LIMIT_BYTES = 400_000_000

logger = logging.getLogger(__name__)


def launch(
    num_workers: int | None = None,
    *,
    address: str | None = None,
    security: Security | Path | str | None = None,
    device: Literal["auto", "cpu", "gpu"] = "auto",
    private_network: bool = True,
    trusted_network: str | None = None,
    shared_folder: str | Path | None = None,
    dashboard: bool = False,
    memory_limit_bytes: int | None = None,
    timeout_s: float = 60.0,
) -> Cluster:
    """Start workers, one device each, or connect to a running Dask scheduler.

    GPUs are found through NVML, without touching CUDA in this process. With GPUs, dask-cuda
    starts one worker per GPU; without, workers are processes of one thread each that share the
    cores. With ``address`` nothing is started: the workers there are used, and labkit must be
    installed on them and on the scheduler.

    Args:
        num_workers: workers to start, >= 1; ``None`` takes every GPU, or one worker per core
            and at least 2. With ``address``, how many workers to wait for.
        address: of a running scheduler, such as ``tls://10.0.0.1:8786``.
        security: certificates for an address that speaks TLS: Dask's ``Security``, or the PEM
            file of a lab's own cluster; ``None`` reads Dask's configuration. A cluster that is
            started here makes its own.
        device: ``auto`` takes GPUs where every worker gets one of its own and dask-cuda is
            installed, else CPU workers; or insist on ``cpu`` or ``gpu``. With ``gpu``, more
            workers than GPUs share them.
        private_network: give ranks that use gloo on workers started here a network that no other
            user of the machine reaches, where the kernel allows it. ``False`` for ranks that
            download something. See ``Cluster.doors``.
        trusted_network: of the hosts at ``address``, such as ``10.1.0.0/16``: lets a run's ranks be
            on several hosts, which talk over it without encryption or passwords. ``None`` keeps
            every run on one host.
        shared_folder: on storage that all hosts at ``address`` see under this path: the lab's
            datasets and checkpoints lie there. ``None`` keeps copies on each host.
        dashboard: serve Dask's own dashboard (needs bokeh) on loopback. It knows no password, so
            every user of the machine can read it.
        memory_limit_bytes: of each worker process that is started, beyond which Dask restarts it;
            ``None`` shares out most of the host's memory. Ranks are not counted.
        timeout_s: seconds within which all workers must be there.
    Returns:
        The cluster; close it, or use it as a context manager.
    Raises:
        SettingError: a count or a device that this host does not have, an unreadable address, a
            certificate that is not there.
        ClusterError: the workers did not come in time; everything started is closed again, and
            the message holds the workers' logs.
    """
    check_not_importing_main()
    if num_workers is not None and (not isinstance(num_workers, int) or num_workers < 1):
        raise SettingError(f"num_workers={num_workers!r} is not a count; choose a number >= 1")
    if address is not None:
        network = "" if trusted_network is None else check_network(trusted_network)
        return _connect(address, security, network, shared_folder, num_workers, timeout_s)
    for name, value in (("trusted_network", trusted_network), ("shared_folder", shared_folder)):
        if value is not None:
            raise SettingError(
                f"{name}={value!r} is for the hosts of a running cluster; give its address as "
                "well, or leave it out"
            )
    if dashboard and find_spec("bokeh") is None:
        raise SettingError("dashboard=True needs bokeh; install it with pip install bokeh")
    devices = find_devices()
    kind, why = choose_kind(devices, device, num_workers)
    if num_workers is None:
        num_workers = devices.count if kind == "gpu" else max(2, devices.num_cores)
    check_memory(num_workers)
    if memory_limit_bytes is not None and memory_limit_bytes < LEAST_LIMIT_BYTES:
        raise SettingError(
            f"memory_limit_bytes={memory_limit_bytes} is less than an idle worker needs; give at "
            f"least {LEAST_LIMIT_BYTES}, or leave it out"
        )
    backend = choose_backend(devices, num_workers) if kind == "gpu" else ON_CORES
    return _start(
        kind,
        why,
        devices,
        num_workers,
        memory_limit_bytes,
        timeout_s,
        private_network=private_network and backend.name == "gloo",  # NCCL was tried on one GPU
        backend=backend,
        dashboard=dashboard,
    )


def _start(
    kind: DeviceKind,
    why: str,
    devices: Devices,
    num_workers: int,
    memory_limit_bytes: int | None,
    timeout_s: float,
    *,
    private_network: bool,
    backend: Backend,
    dashboard: bool,
) -> Cluster:
    """A cluster on this host. Everything is closed again when a part of it fails."""
    from distributed import Client

    from labkit.cluster.local_workers import start_local_workers
    from labkit.cluster.web_pages import close_web_pages

    folder = Path(tempfile.mkdtemp(prefix="labkit-"))  # mkdtemp makes it private, mode 0700
    (folder / OWNER_FILE).write_text(str(os.getpid()))
    owned: SpecCluster | None = None
    client: Client | None = None
    deadline = time.monotonic() + timeout_s
    try:
        owned = start_local_workers(
            kind, devices, num_workers, folder, memory_limit_bytes, timeout_s, dashboard=dashboard
        )
        client = Client(owned, timeout=timeout_s, set_as_default=False)
        client.wait_for_workers(num_workers, timeout=max(0.1, deadline - time.monotonic()))
        _check_workers(client, num_workers)
        close_web_pages(client, dashboard=dashboard)
        each = "one thread each"
        if kind == "gpu":
            each = "one GPU each" if num_workers <= devices.count else "which share them"
        why = f"{why}; {num_workers} worker processes, {each}"
        cluster = _finish(
            kind,
            why,
            client,
            owned,
            folder,
            folder.name,
            devices.num_cores,
            private_network=private_network,
        )
        cluster.ranks_use = backend
        cluster.expect_workers(num_workers)
        return cluster
    except BaseException as error:
        logs = logs_of(owned)
        if client is not None:
            client.close()
        if owned is not None:
            close_owned(owned)
        shutil.rmtree(folder, ignore_errors=True)
        expected = isinstance(error, LabError) and not isinstance(error, ClusterError)
        if expected or not isinstance(error, Exception):
            raise
        raise ClusterError(
            f"{num_workers} {kind} workers did not start within {timeout_s:.0f} s "
            f"({describe_causes(error)}); everything was closed again.{script_note()}{logs}"
        ) from error


def _connect(
    address: str,
    security: Security | Path | str | None,
    network: str,
    shared_folder: str | Path | None,
    num_workers: int | None,
    timeout_s: float,
) -> Cluster:
    """Use the workers of a running scheduler; they stay when the lab goes."""
    deadline = time.monotonic() + timeout_s
    client = connect(address, security, min(timeout_s, CONNECT_S))
    try:
        try:
            client.wait_for_workers(num_workers or 1, timeout=max(0.1, deadline - time.monotonic()))
        except TimeoutError as error:
            there = len(worker_addresses(client))
            raise ClusterError(
                f"the scheduler at {address} has {there} workers, not {num_workers or 1}, after "
                f"{timeout_s:.0f} s; start more workers, or ask for fewer"
            ) from error
        if network:
            _check_hosts(client, network)
        name = f"labkit-{uuid.uuid4().hex[:10]}"
        workers = worker_addresses(client)
        count = len(workers)
        why = f"connected to {address}, which has {count} workers{warn_of_plain(address)}"
        if shared_folder is None:
            folder = Path(ask_scheduler(client, tempfile.gettempdir)) / name
        else:
            folder = make_shared_folder(client, workers, str(shared_folder), name)
        _watch_client(client, name, "" if shared_folder is None else str(folder))
        cluster = _finish("existing", why, client, None, folder, name, None)
        cluster.expect_workers(count)
        cluster.trusted_network = network
        cluster.on_shared_storage = shared_folder is not None
        home = find_home(client, workers, str(folder))
        if home:
            ask_scheduler(client, stay_at_home, client.id, home)
        cluster.shares_files = not home
        return cluster
    except BaseException as error:
        client.close()
        if isinstance(error, ModuleNotFoundError):
            raise ClusterError(
                f"the scheduler or a worker at {address} cannot import {error.name}; install "
                "labkit there too"
            ) from error
        raise


def _finish(
    kind: ClusterKind,
    why: str,
    client: Client,
    owned: SpecCluster | None,
    folder: Path,
    name: str,
    num_cores: int | None,
    *,
    private_network: bool = False,
) -> Cluster:
    """Give every worker its rank owner and describe the workers."""
    from labkit.cluster.rank_owner import RankOwner

    register(client, RankOwner(name, name, private_network=private_network), name)
    return Cluster(
        kind=kind,
        why=why,
        client=client,
        owned=owned,
        num_cores=num_cores,
        folder=folder,
        name=name,
    )


def _check_workers(client: Client, num_workers: int) -> None:
    """dask-cuda can start without a single worker and say nothing."""
    there = len(worker_addresses(client))
    if there < num_workers:
        raise ClusterError(f"{there} of {num_workers} workers are there")


def _check_hosts(client: Client, network: str) -> None:
    """Raise a ClusterError unless every worker's host has an address in the trusted network."""
    for why in ask_workers(client, look_for_interface, network).values():
        if why:
            raise ClusterError(why)


def _watch_client(client: Client, name: str, folder: str) -> None:
    """Have the foreign scheduler take our plugin off its workers when this client goes."""
    from labkit.cluster.client_watch import ClientWatch

    register(client, ClientWatch(name, client.id, folder), name)
