"""Devices are found through NVML, without CUDA in this process."""

from __future__ import annotations

import subprocess
import sys

import pynvml
import pytest

from labkit.cluster.devices import find_devices


class Driver:
    """Stands in for the NVIDIA driver library below pynvml."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(pynvml, "nvmlInit", lambda: None)
        patch.setattr(pynvml, "nvmlShutdown", lambda: None)
        patch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(self.names))
        patch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        patch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: self.names[handle])
        patch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: f"GPU-{handle}a4e")
        patch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "580.95.05")

        def no_mig(handle: int) -> None:
            raise pynvml.NVMLError_NotSupported

        patch.setattr(pynvml, "nvmlDeviceGetMigMode", no_mig)


def test_every_gpu_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    Driver("A100", "H100").install(monkeypatch)
    devices = find_devices()
    assert (devices.kind, devices.count) == ("gpu", 2)
    assert devices.indices == ("0", "1")
    assert devices.why == "found 2 GPUs: A100, H100"
    assert not devices.stand_in


@pytest.mark.parametrize(
    ("visible", "names", "indices"),
    [
        ("1", ("H100",), ("1",)),
        ("1,0", ("H100", "A100"), ("1", "0")),
        ("GPU-1a4e", ("H100",), ("1",)),
        ("GPU-1,0", ("H100", "A100"), ("1", "0")),
    ],
)
def test_cuda_visible_devices_chooses_among_them(
    monkeypatch: pytest.MonkeyPatch, visible: str, names: tuple[str, ...], indices: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    Driver("A100", "H100").install(monkeypatch)
    devices = find_devices()
    assert (devices.names, devices.indices) == (names, indices)


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_gpus_are_not_looked_for(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    Driver("A100").install(monkeypatch)
    devices = find_devices()
    assert devices.kind == "cpu"
    assert f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs" in devices.why


def test_no_driver_means_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    devices = find_devices()
    assert devices.kind == "cpu"
    assert devices.count == devices.num_cores >= 1
    assert "no NVIDIA driver is installed" in devices.why


def test_looking_for_devices_does_not_import_torch() -> None:
    code = (
        "import sys; from labkit.cluster.devices import find_devices; find_devices(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
