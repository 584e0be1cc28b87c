"""GPU workers where each gets a GPU, else CPU workers, and always the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from labkit.cluster import capacity
from labkit.cluster.capacity import check_memory, choose_kind, most_workers
from labkit.cluster.devices import Devices
from labkit.errors import SettingError

CPU = Devices(kind="cpu", names=(), indices=(), num_cores=2, why="no NVIDIA driver is installed")
TWO_GPUS = Devices(
    kind="gpu", names=("A", "B"), indices=("0", "1"), num_cores=2, why="found 2 GPUs: A, B"
)


def install_dask_cuda(
    monkeypatch: pytest.MonkeyPatch, installed: bool, torch_version: str = "2.13.0"
) -> None:
    """Pretend that dask-cuda can or cannot be imported, beside that build of torch."""
    monkeypatch.setattr(capacity, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(capacity, "version", lambda name: torch_version)


@pytest.mark.parametrize(
    ("devices", "device", "num_workers", "installed", "kind", "why"),
    [
        (CPU, "auto", 4, True, "cpu", "no NVIDIA driver"),
        (TWO_GPUS, "auto", 2, True, "gpu", "found 2 GPUs: A, B"),
        (TWO_GPUS, "auto", None, True, "gpu", "found 2 GPUs: A, B"),
        (TWO_GPUS, "auto", 4, True, "cpu", "need one each (device='gpu' lets them share), so CPU"),
        (TWO_GPUS, "gpu", 4, True, "gpu", "found 2 GPUs: A, B"),
        (TWO_GPUS, "auto", 2, False, "cpu", "but dask-cuda is not installed (pip install -c"),
        (TWO_GPUS, "cpu", 2, True, "cpu", "but CPU workers were asked for"),
    ],
)
def test_the_kind_of_workers_and_the_reason(
    monkeypatch: pytest.MonkeyPatch,
    devices: Devices,
    device: Literal["auto", "cpu", "gpu"],
    num_workers: int | None,
    installed: bool,
    kind: str,
    why: str,
) -> None:
    install_dask_cuda(monkeypatch, installed)
    found_kind, found_why = choose_kind(devices, device, num_workers)
    assert found_kind == kind
    assert why in found_why


@pytest.mark.parametrize(
    ("devices", "device", "installed", "message"),
    [
        (CPU, "gpu", True, "device='gpu' but no NVIDIA driver"),
        (
            TWO_GPUS,
            "gpu",
            False,
            "device='gpu': found 2 GPUs: A, B, but dask-cuda is not installed",
        ),
        (TWO_GPUS, "tpu", True, "device='tpu' is unknown"),
    ],
)
def test_what_was_insisted_on_and_cannot_be_had_is_refused(
    monkeypatch: pytest.MonkeyPatch, devices: Devices, device: str, installed: bool, message: str
) -> None:
    install_dask_cuda(monkeypatch, installed)
    with pytest.raises(SettingError) as error:
        choose_kind(devices, device, 3)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_a_build_of_torch_without_cuda_computes_on_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install_dask_cuda(monkeypatch, True, torch_version="2.13.0+cpu")
    kind, why = choose_kind(TWO_GPUS, "auto", 2)
    assert kind == "cpu"
    assert "torch 2.13.0+cpu is a build without CUDA (install torch's default build)" in why
    with pytest.raises(SettingError, match=r"is a build without CUDA .*; or use device='cpu'"):
        choose_kind(TWO_GPUS, "gpu", 2)
    kind, _ = choose_kind(replace(TWO_GPUS, stand_in=True), "gpu", 2)
    assert kind == "gpu", "no GPU computes behind a stand-in driver, so any build will do"


def test_workers_that_do_not_fit_in_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "free_memory_bytes", lambda: 2**30)
    assert most_workers() == 2
    check_memory(2)
    with pytest.raises(SettingError, match=r"num_workers=3 need about 1.0 GiB but 1.0 GiB are"):
        check_memory(3)
