"""Which devices this host offers, found without initialising CUDA in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

DeviceKind = Literal["cpu", "gpu"]
STAND_IN = "stand-in"  # in the driver version of a library that only pretends to be a driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What a local cluster can put its workers on.

    Attributes:
        kind: ``"gpu"`` when at least one GPU is usable, else ``"cpu"``.
        names: product name of each GPU, or of each instance that a GPU is divided into (MIG);
            empty on CPU.
        indices: what ``CUDA_VISIBLE_DEVICES`` of a worker must say, one entry per GPU: its index,
            or a UUID where instances are among them.
        num_cores: processor cores of this host that this process may use.
        why: one sentence that tells what was found, for people.
        stand_in: whether a stand-in driver, as tests use it, speaks for GPUs that do not exist.
    """

    kind: DeviceKind
    names: tuple[str, ...]
    indices: tuple[str, ...]
    num_cores: int
    why: str
    stand_in: bool = False

    @property
    def count(self) -> int:
        """GPUs, or processor cores where there is no GPU."""
        return len(self.names) if self.kind == "gpu" else self.num_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU, or an instance of one, as NVML lists it.

    Attributes:
        index: of the whole GPU, in the order of the PCI bus.
        uuid: of the GPU or of the instance.
        name: product name.
        is_instance: whether it is a part of a GPU in MIG mode; CUDA knows those by UUID only.
    """

    index: int
    uuid: str
    name: str
    is_instance: bool = False


def find_devices() -> Devices:
    """Look for GPUs through NVML, which needs no CUDA context, and count cores.

    A CUDA context in a notebook's process would break every later fork, so ``torch.cuda`` is
    never asked here. ``CUDA_VISIBLE_DEVICES`` is honoured by CUDA's own rules: ``""`` and ``"-1"``
    mean no GPU, a UUID may be shortened, and the first entry that names no GPU hides the rest.

    Returns:
        The devices, with the reason in words.
    Source: NVML API reference, nvmlDeviceGetHandleByIndex; CUDA C++ Programming Guide, CUDA
        Environment Variables.
    """
    from dask.system import CPU_COUNT  # within this process's affinity and its container's quota

    num_cores = CPU_COUNT
    cores = f"{num_cores} processor core{'s' if num_cores != 1 else ''}"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus: Sequence[Gpu] = ()
    hidden = ""
    if visible is not None and visible.strip() in ("", "-1"):
        reason, stand_in = f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs", False
    else:
        gpus, reason, stand_in = _list_gpus()
        if gpus and visible is not None:
            gpus, trouble = choose_visible(gpus, visible)
            reason = f"CUDA_VISIBLE_DEVICES={visible!r} {trouble}"
            hidden = f"; {reason}" if trouble else ""
    if not gpus:
        why = f"{reason}, so CPU workers share {cores}"
        return Devices(kind="cpu", names=(), indices=(), num_cores=num_cores, why=why)
    names = tuple(gpu.name for gpu in gpus)
    by_uuid = any(gpu.is_instance for gpu in gpus)  # CUDA counts in one way or the other
    why = f"found {len(gpus)} GPU{'s' if len(gpus) != 1 else ''}: {', '.join(names)}"
    if stand_in:
        why += " (a stand-in driver: no GPU computes)"
    return Devices(
        kind="gpu",
        names=names,
        indices=tuple(gpu.uuid if by_uuid else str(gpu.index) for gpu in gpus),
        num_cores=num_cores,
        why=why + hidden,
        stand_in=stand_in,
    )


def choose_visible(gpus: Sequence[Gpu], visible: str) -> tuple[list[Gpu], str]:
    """The GPUs that a value of ``CUDA_VISIBLE_DEVICES`` leaves visible, in its order.

    Args:
        gpus: all of this host.
        visible: indices and UUIDs, which may be cut short, separated by commas. An index of a
            GPU in MIG mode stands for its first instance.
    Returns:
        Those up to the first entry that names none, or none at all when an entry comes twice; and
        what is wrong with the value, empty when nothing is.
    """
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit():
            named = [gpu for gpu in gpus if gpu.index == int(entry)][:1]
        else:
            named = [gpu for gpu in gpus if entry and gpu.uuid.startswith(entry)]
        if len(named) != 1:
            return chosen, _unknown(entry, bool(chosen))
        if named[0] in chosen:
            return [], f"names {entry!r} twice, which hides all GPUs"
        chosen += named
    return chosen, ""


def _unknown(entry: str, some_before: bool) -> str:
    if not some_before:
        return "names no GPU of this host"
    return f"has no single GPU for {entry!r}, which hides it and what follows"


def _list_gpus() -> tuple[Sequence[Gpu], str, bool]:
    """The GPUs of this host, the reason where there is none, and whether they are pretended."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), "no NVIDIA driver is installed", False
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})", False
    try:
        stand_in = STAND_IN in _text(pynvml.nvmlSystemGetDriverVersion())
        gpus: list[Gpu] = []
        num_whole = pynvml.nvmlDeviceGetCount()
        for index in range(num_whole):
            gpus += _parts_of(index, pynvml.nvmlDeviceGetHandleByIndex(index))
        why = "no GPU is present" if not num_whole else "no GPU in MIG mode has an instance"
        return gpus, why, stand_in
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not tell its GPUs ({error})", False
    finally:
        pynvml.nvmlShutdown()


def _parts_of(index: int, handle: Any) -> Iterator[Gpu]:
    """A whole GPU, or its instances when it is in MIG mode; then the whole cannot be used."""
    import pynvml

    try:
        in_mig_mode = bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except pynvml.NVMLError:  # most GPUs know no such mode
        in_mig_mode = False
    if not in_mig_mode:
        yield _gpu(index, handle, is_instance=False)
        return
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError:  # there may be fewer
            continue
        yield _gpu(index, instance, is_instance=True)


def _gpu(index: int, handle: Any, *, is_instance: bool) -> Gpu:
    import pynvml

    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        is_instance=is_instance,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
