"""What this host can carry: GPU workers or CPU workers, and how many."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

import psutil

from labkit.cluster.devices import DeviceKind, Devices
from labkit.errors import SettingError

WORKER_BYTES = 350 * 2**20  # a Dask worker and the rank beside it, measured
INSTALL_GPU = "pip install -c constraints.txt -e '.[gpu]'"


def choose_kind(
    devices: Devices, device: Literal["auto", "cpu", "gpu"], num_workers: int | None
) -> tuple[DeviceKind, str]:
    """GPU or CPU workers, and why, as a sentence for people.

    ``auto`` takes GPUs when every worker gets one of its own, else CPU workers, and says so:
    ranks that share a GPU do not show what as many GPUs would do. ``gpu`` insists, and lets workers
    share GPUs when there are more of them.

    Raises:
        SettingError: ``device="gpu"`` cannot be had, or an unknown device.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise SettingError(f"device={device!r} is unknown; choose auto, cpu or gpu")
    if devices.kind == "cpu":
        if device == "gpu":
            raise SettingError(f"device='gpu' but {devices.why}; use device='cpu'")
        return "cpu", devices.why
    cores = f"so CPU workers share {devices.num_cores} processor cores"
    if device == "cpu":
        return "cpu", f"{devices.why}, but CPU workers were asked for, {cores}"
    obstacle = _obstacle(devices)
    if device == "gpu" and obstacle:
        raise SettingError(f"device='gpu': {devices.why}, but {obstacle}; or use device='cpu'")
    if device == "auto" and not obstacle and (num_workers or 0) > devices.count:
        obstacle = f"{num_workers} workers need one each (device='gpu' lets them share)"
    if obstacle:
        return "cpu", f"{devices.why}, but {obstacle}, {cores}"
    return "gpu", devices.why


def _obstacle(devices: Devices) -> str:
    """What keeps workers from using these GPUs, and what to do; empty when nothing does."""
    if find_spec("dask_cuda") is None:
        return f"dask-cuda is not installed ({INSTALL_GPU})"
    torch_version = version("torch")  # of the package's metadata: torch itself is not loaded
    if torch_version.endswith("+cpu") and not devices.stand_in:
        return f"torch {torch_version} is a build without CUDA (install torch's default build)"
    return ""


def free_memory_bytes() -> int:
    """Memory that new workers may take: what is free, within this container's limit."""
    from distributed.system import MEMORY_LIMIT

    return int(min(psutil.virtual_memory().available, MEMORY_LIMIT))


def most_workers() -> int:
    """Workers that ``launch`` can start on this host, at least 1."""
    return max(1, free_memory_bytes() // WORKER_BYTES)


def check_memory(num_workers: int) -> None:
    """Raise a SettingError when that many workers do not fit in memory."""
    if num_workers > most_workers():
        raise SettingError(
            f"num_workers={num_workers} need about {num_workers * WORKER_BYTES / 2**30:.1f} GiB "
            f"but {free_memory_bytes() / 2**30:.1f} GiB are free; choose at most {most_workers()}"
        )
