"""Start a cluster on this host's GPUs or cores, or connect to one that runs elsewhere."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labkit.cluster.capacity import check_memory, choose_kind
from labkit.cluster.cluster import CLOSE_S, Cluster, ClusterKind, worker_addresses
from labkit.cluster.devices import DeviceKind, Devices, find_devices
from labkit.cluster.fork_server import OWNER_FILE
from labkit.errors import ClusterError, LabError, SettingError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

CONNECT_S = 10.0
MIN_WORKER_LIMIT_BYTES = 2**30
LEAST_LIMIT_BYTES = 400_000_000

MAIN_GUARD = (
    "a script that launches a cluster is imported again by its workers; put what it does below "
    "if __name__ == '__main__':"
)

logger = logging.getLogger(__name__)


def launch(
    num_workers: int | None = None,
    *,
    address: str | None = None,
    device: Literal["auto", "cpu", "gpu"] = "auto",
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
        address: of a running scheduler, such as ``tcp://10.0.0.1:8786``.
        device: ``auto`` takes GPUs where every worker gets one of its own and dask-cuda is
            installed, else CPU workers; or insist on ``cpu`` or ``gpu``.
        memory_limit_bytes: of each worker process that is started, beyond which Dask restarts it;
            ``None`` shares out most of the host's memory. Ranks are not counted.
        timeout_s: seconds within which all workers must be there.
    Returns:
        The cluster; close it, or use it as a context manager.
    Raises:
        SettingError: a count or a device that this host does not have, an unreadable address.
        ClusterError: the workers did not come in time; everything started is closed again, and
            the message holds the workers' logs.
    """
    _check_not_importing_main()
    if num_workers is not None and (not isinstance(num_workers, int) or num_workers < 1):
        raise SettingError(f"num_workers={num_workers!r} is not a count; choose a number >= 1")
    if address is not None:
        return _connect(address, num_workers, timeout_s)
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
    return _start(kind, why, devices, num_workers, memory_limit_bytes, timeout_s)


def _check_not_importing_main() -> None:
    """Refuse to launch from a worker that is importing the user's script.

    Workers are spawned processes, which import the main script anew; a ``launch`` at its top
    level would start workers that start workers.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ClusterError(MAIN_GUARD)


def _start(
    kind: DeviceKind,
    why: str,
    devices: Devices,
    num_workers: int,
    memory_limit_bytes: int | None,
    timeout_s: float,
) -> Cluster:
    """A cluster on this host. Everything is closed again when a part of it fails."""
    import dask
    from distributed import Client

    folder = Path(tempfile.mkdtemp(prefix="labkit-"))  # mkdtemp makes it private, mode 0700
    (folder / OWNER_FILE).write_text(str(os.getpid()))
    owned: SpecCluster | None = None
    client: Client | None = None
    deadline = time.monotonic() + timeout_s
    try:
        with dask.config.set(DASK_SETTINGS):
            owned = _local_cluster(
                kind, devices, num_workers, folder, memory_limit_bytes, timeout_s
            )
        client = Client(owned, timeout=timeout_s, set_as_default=False)
        client.wait_for_workers(num_workers, timeout=max(0.1, deadline - time.monotonic()))
        _check_workers(client, num_workers)
        each = "one GPU each" if kind == "gpu" else "one thread each"
        why = f"{why}; {num_workers} worker processes, {each}"
        return _finish(kind, why, client, owned, folder, folder.name, devices.num_cores)
    except BaseException as error:
        logs = _logs(owned)
        if client is not None:
            client.close()
        if owned is not None:
            owned.close(timeout=CLOSE_S)
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, LabError) or not isinstance(error, Exception):
            raise
        raise ClusterError(
            f"{num_workers} {kind} workers did not start within {timeout_s:.0f} s "
            f"({describe_causes(error)}); everything was closed again.{_script_note()}{logs}"
        ) from error


MALLOC_KEPT_BYTES = 64 << 20  # free at the end of a worker's heap before it is given back
MALLOC_LARGE_BYTES = 8 << 20  # from here on memory is taken from the system each time
BEFORE_SPAWN = "distributed.nanny.pre-spawn-environ"
DASK_SETTINGS = {
    # Dask watches itself many times a second, which costs the ranks several percent of the cores
    # they share with it: it need not profile the thread that waits for a rank.
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "500ms",
    # Memory that numpy and Arrow freed goes back to the system; a worker above its limit by
    # memory that it cannot account for would be paused for ever.
    f"{BEFORE_SPAWN}.ARROW_DEFAULT_MEMORY_POOL": "system",
    f"{BEFORE_SPAWN}.MALLOC_ARENA_MAX": "1",
    # But not at once: with Dask's own threshold of 64 KiB every column that numpy computes is asked
    # of the system and given back, page by page, which costs a fifth of the time of preprocessing.
    f"{BEFORE_SPAWN}.MALLOC_TRIM_THRESHOLD_": str(MALLOC_KEPT_BYTES),
    f"{BEFORE_SPAWN}.MALLOC_MMAP_THRESHOLD_": str(MALLOC_LARGE_BYTES),
}


def _local_cluster(
    kind: str,
    devices: Devices,
    num_workers: int,
    folder: Path,
    memory_limit_bytes: int | None,
    timeout_s: float,
) -> SpecCluster:
    """Dask's own cluster for this host; every socket is bound to loopback."""
    from distributed.system import MEMORY_LIMIT

    share_bytes = max(MIN_WORKER_LIMIT_BYTES, int(0.8 * MEMORY_LIMIT / num_workers))

    settings: dict[str, Any] = {
        "n_workers": num_workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "local_directory": str(folder / "dask"),
        "memory_limit": memory_limit_bytes or share_bytes,
        "death_timeout": timeout_s,
        # A rank that dies hard must not be run again on another worker.
        "scheduler_kwargs": {"allowed_failures": 0, "local_directory": str(folder / "dask")},
    }
    if kind == "gpu":
        from dask_cuda import LocalCUDACluster

        cluster: SpecCluster = LocalCUDACluster(
            CUDA_VISIBLE_DEVICES=list(devices.indices[:num_workers]), **settings
        )
        return cluster
    from distributed import LocalCluster

    return LocalCluster(processes=True, worker_dashboard_address=None, **settings)


def _connect(address: str, num_workers: int | None, timeout_s: float) -> Cluster:
    """Use the workers of a running scheduler; they stay when the lab goes."""
    from distributed import Client

    deadline = time.monotonic() + timeout_s
    try:
        client = Client(address, timeout=min(timeout_s, CONNECT_S), set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(
            f"no Dask scheduler answers at {address!r} ({error}); give the address that the "
            "scheduler printed, such as tcp://10.0.0.1:8786"
        ) from error
    try:
        try:
            client.wait_for_workers(num_workers or 1, timeout=max(0.1, deadline - time.monotonic()))
        except TimeoutError as error:
            there = len(worker_addresses(client))
            raise ClusterError(
                f"the scheduler at {address} has {there} workers, not {num_workers or 1}, after "
                f"{timeout_s:.0f} s; start more workers, or ask for fewer"
            ) from error
        name = f"labkit-{uuid.uuid4().hex[:10]}"
        _watch_client(client, name)
        count = len(worker_addresses(client))
        why = f"connected to {address}, which has {count} workers"
        folder = Path(client.run_on_scheduler(tempfile.gettempdir)) / name
        return _finish("existing", why, client, None, folder, name, None)
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
) -> Cluster:
    """Give every worker its rank owner and describe the workers."""
    from labkit.cluster.rank_owner import RankOwner

    client.register_plugin(RankOwner(name, name))
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


def _watch_client(client: Client, name: str) -> None:
    """Have the foreign scheduler take our plugin off its workers when this client goes."""
    from labkit.cluster.client_watch import ClientWatch

    client.register_plugin(ClientWatch(name, client.id))


def _script_note() -> str:
    """What a script, as opposed to a notebook, may have done wrong."""
    return f" Note: {MAIN_GUARD}" if hasattr(sys.modules["__main__"], "__file__") else ""


def describe_causes(error: BaseException) -> str:
    """An error and what caused it, outermost first; Dask wraps a worker's own error twice."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(f"{type(cause).__name__}: {cause}".rstrip(": "))
        cause = cause.__cause__ or cause.__context__
    return ", because of ".join(dict.fromkeys(texts))


def _logs(owned: SpecCluster | None) -> str:
    """The logs of the scheduler and of the workers that answer, as text for an error."""
    if owned is None or owned.status.name != "running":
        return ""
    logs = owned.get_logs()
    return "".join(f"\n--- {name}\n{text}" for name, text in logs.items() if str(text).strip())
