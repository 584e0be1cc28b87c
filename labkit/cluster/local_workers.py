"""Dask's own cluster on this host, as the lab wants it: quiet, locked, and bound to loopback."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import LocalCluster
from distributed.deploy import Cluster
from distributed.system import MEMORY_LIMIT

from labkit.cluster.devices import DeviceKind, Devices
from labkit.cluster.punctual_nanny import PunctualNanny
from labkit.cluster.security import CERTIFICATE_FILE, make_certificate, security_of
from labkit.cluster.web_pages import page_settings

if TYPE_CHECKING:
    from distributed.deploy.spec import SpecCluster

MIN_WORKER_LIMIT_BYTES = 2**30

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


def start_local_workers(
    kind: DeviceKind,
    devices: Devices,
    num_workers: int,
    folder: Path,
    memory_limit_bytes: int | None,
    timeout_s: float,
    *,
    dashboard: bool,
) -> SpecCluster:
    """Scheduler and workers on this host; every socket is bound to loopback and speaks TLS.

    The web pages that Dask starts in any case are empty and still to be closed, see
    ``close_web_pages``.

    Args:
        kind: of the workers.
        devices: of this host.
        num_workers: one device each.
        folder: private one of the cluster; the certificate is written there.
        memory_limit_bytes: of each worker; ``None`` shares out most of the host's memory.
        timeout_s: seconds within which a worker must have started.
        dashboard: serve Dask's dashboard.
    """
    make_certificate(folder / CERTIFICATE_FILE)
    share_bytes = max(MIN_WORKER_LIMIT_BYTES, int(0.8 * MEMORY_LIMIT / num_workers))
    settings: dict[str, Any] = {
        "threads_per_worker": 1,
        "worker_class": PunctualNanny,
        "host": "127.0.0.1",
        "protocol": "tls://",
        "security": security_of(folder / CERTIFICATE_FILE),
        "dashboard_address": "127.0.0.1:0",
        "local_directory": str(folder / "dask"),
        "memory_limit": memory_limit_bytes or share_bytes,
        "death_timeout": timeout_s,
        "scheduler_kwargs": {
            # A rank that dies hard must not be run again on another worker.
            "allowed_failures": 0,
            "local_directory": str(folder / "dask"),
            "dashboard": dashboard,
        },
    }
    with dask.config.set({**DASK_SETTINGS, **page_settings(dashboard=dashboard)}):
        if kind == "gpu":
            from labkit.cluster.gpu_workers import start_gpu_workers

            started = start_gpu_workers(devices.indices[:num_workers], num_workers, settings)
        else:
            started = LocalCluster(n_workers=num_workers, processes=True, **settings)
    _keep_nannies(started)
    return started


def _keep_nannies(cluster: SpecCluster) -> None:
    """Have a worker that was lost replaced, however long that takes its nanny.

    Dask (2026.7.1) looks 15 s after a loss whether a worker of that name is there. If not, it
    closes the nanny for good: on a busy machine, or where a worker is lost twice in that time.
    """
    update = partial(Cluster._update_worker_status, cluster)
    cluster._update_worker_status = update  # type: ignore[method-assign]
