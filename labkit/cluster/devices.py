"""Which devices this host offers, found without initialising CUDA in this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What a local cluster can put its workers on.

    Attributes:
        kind: ``"gpu"`` when at least one GPU is usable, else ``"cpu"``.
        names: product name of each GPU; empty on CPU.
        indices: what ``CUDA_VISIBLE_DEVICES`` of a worker must say, one entry per GPU.
        num_cores: processor cores of this host that this process may use.
        why: one sentence that tells what was found, for people.
    """

    kind: DeviceKind
    names: tuple[str, ...]
    indices: tuple[str, ...]
    num_cores: int
    why: str

    @property
    def count(self) -> int:
        """GPUs, or processor cores where there is no GPU."""
        return len(self.names) if self.kind == "gpu" else self.num_cores


def find_devices() -> Devices:
    """Look for GPUs through NVML, which needs no CUDA context, and count cores.

    A CUDA context in a notebook's process would break every later fork, so ``torch.cuda`` is
    never asked here. ``CUDA_VISIBLE_DEVICES`` is honoured: ``""`` and ``"-1"`` mean no GPU.

    Returns:
        The devices, with the reason in words.
    Source: NVML API reference, nvmlDeviceGetHandleByIndex.
    """
    from dask.system import CPU_COUNT  # within this process's affinity and its container's quota

    num_cores = CPU_COUNT
    cores = f"{num_cores} processor core{'s' if num_cores != 1 else ''}"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        why = f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs, so CPU workers share {cores}"
        return Devices(kind="cpu", names=(), indices=(), num_cores=num_cores, why=why)
    names, reason = _gpu_names()
    if not names:
        why = f"{reason}, so CPU workers share {cores}"
        return Devices(kind="cpu", names=(), indices=(), num_cores=num_cores, why=why)
    indices = tuple(str(index) for index in range(len(names)))
    if visible is not None:
        indices = tuple(entry.strip() for entry in visible.split(",") if entry.strip())
        names = tuple(
            names[int(entry)] if entry.isdigit() and int(entry) < len(names) else entry
            for entry in indices
        )
    why = f"found {len(names)} GPU{'s' if len(names) != 1 else ''}: {', '.join(names)}"
    return Devices(kind="gpu", names=names, indices=indices, num_cores=num_cores, why=why)


def _gpu_names() -> tuple[tuple[str, ...], str]:
    """Product names of the GPUs, or none and the reason."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), "no NVIDIA driver is installed"
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})"
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
        return tuple(n.decode() if isinstance(n, bytes) else n for n in names), "no GPU is present"
    finally:
        pynvml.nvmlShutdown()
