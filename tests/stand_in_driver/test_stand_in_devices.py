"""Which GPUs the lab finds through a driver library, as a stand-in driver tells them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.devices import Devices, find_devices
from labkit.errors import SettingError

NAME = "stand-in GPU (no hardware)"


def look() -> tuple[Devices, bool]:
    """The devices, and whether torch was loaded to find them."""
    import sys

    return find_devices(), "torch" in sys.modules


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_every_gpu_is_found_and_the_stand_in_is_called_so(
    on_stand_in: Callable[..., Any], gpus: int
) -> None:
    devices, torch_was_loaded = on_stand_in(look, gpus=gpus)
    assert not torch_was_loaded
    assert (devices.kind, devices.count, devices.stand_in) == ("gpu", gpus, True)
    assert devices.names == (NAME,) * gpus
    assert devices.indices == tuple(str(index) for index in range(gpus))
    assert devices.why.startswith(f"found {gpus} GPU")
    assert devices.why.endswith("(a stand-in driver: no GPU computes)")


def test_a_driver_without_a_gpu_means_cpu(on_stand_in: Callable[..., Any]) -> None:
    devices, _ = on_stand_in(look, gpus=0)
    assert devices.kind == "cpu"
    assert "no GPU is present" in devices.why


def test_a_driver_that_does_not_answer_means_cpu(on_stand_in: Callable[..., Any]) -> None:
    devices, _ = on_stand_in(look, STAND_IN_FAILURE="9")
    assert devices.kind == "cpu"
    assert "the NVIDIA driver does not answer (Driver Not Loaded)" in devices.why


@pytest.mark.parametrize(
    ("visible", "indices", "hides"),
    [
        ("3,1", ("3", "1"), ""),
        ("GPU-57a4d140-0000-4000-8000-000000000002", ("2",), ""),
        ("GPU-57a4d140-0000-4000-8000-000000000002,0", ("2", "0"), ""),
        ("1,9,0", ("1",), "'9'"),
        ("1,GPU-57a4,0", ("1",), "'GPU-57a4'"),
    ],
)
def test_a_subset_is_read_as_cuda_reads_it(
    on_stand_in: Callable[..., Any], visible: str, indices: tuple[str, ...], hides: str
) -> None:
    devices, _ = on_stand_in(look, gpus=4, visible=visible)
    assert devices.indices == indices
    assert devices.names == (NAME,) * len(indices)
    assert ("hides" in devices.why) == bool(hides)
    assert hides in devices.why


def test_a_short_uuid_of_one_gpu_is_enough(on_stand_in: Callable[..., Any]) -> None:
    devices, _ = on_stand_in(look, gpus=1, visible="GPU-57a4")
    assert devices.indices == ("0",)


@pytest.mark.parametrize(
    ("visible", "why"),
    [
        ("0,0", "CUDA_VISIBLE_DEVICES='0,0' names '0' twice, which hides all GPUs"),
        ("7", "CUDA_VISIBLE_DEVICES='7' names no GPU of this host"),
        ("", "CUDA_VISIBLE_DEVICES='' hides all GPUs"),
    ],
)
def test_a_value_that_leaves_no_gpu_is_explained(
    on_stand_in: Callable[..., Any], visible: str, why: str
) -> None:
    devices, _ = on_stand_in(look, visible=visible)
    assert devices.kind == "cpu"
    assert devices.why.startswith(why)


def mig(gpu: int, instance: int) -> str:
    """UUID of an instance, as the stand-in gives them out."""
    return f"MIG-57a4d140-0000-5000-8000-{gpu:08x}{instance:04x}"


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, (mig(0, 0), mig(0, 1), mig(0, 2), mig(1, 0), mig(1, 1), mig(1, 2))),
        (f"{mig(1, 2)},{mig(0, 0)}", (mig(1, 2), mig(0, 0))),
        ("1", (mig(1, 0),)),
    ],
)
def test_instances_of_a_gpu_are_devices_by_uuid(
    on_stand_in: Callable[..., Any], visible: str | None, indices: tuple[str, ...]
) -> None:
    devices, _ = on_stand_in(look, gpus=2, instances=3, visible=visible)
    assert devices.kind == "gpu"
    assert devices.indices == indices
    assert set(devices.names) == {f"{NAME} MIG"}


def test_a_gpu_in_mig_mode_without_an_instance_cannot_be_used(
    on_stand_in: Callable[..., Any],
) -> None:
    devices, _ = on_stand_in(look, gpus=1, instances=-1)
    assert devices.kind == "cpu"
    assert "no GPU in MIG mode has an instance" in devices.why


def test_a_gpu_that_was_insisted_on_and_is_hidden_is_refused(
    on_stand_in: Callable[..., Any],
) -> None:
    def insist() -> str:
        import labkit

        try:
            labkit.launch(1, device="gpu")
        except SettingError as error:
            return str(error)
        return ""

    said = on_stand_in(insist, visible="-1")
    assert said.startswith("device='gpu' but CUDA_VISIBLE_DEVICES='-1' hides all GPUs")


def test_without_a_compiler_the_tests_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture's own promise, kept by a run of pytest that finds no compiler."""
    import subprocess
    import sys

    here = Path(__file__)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    chosen = f"{here}::test_a_driver_without_a_gpu_means_cpu"
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([*command, chosen], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the stand-in driver needs a C compiler" in done.stdout
