"""Which GPUs the lab finds through a driver library, as a stand-in driver tells them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.devices import Devices, find_devices
from labkit.errors import SettingError

NAME = "stand-in GPU (no hardware)"


def mig(gpu: int, instance: int) -> str:
    """UUID of an instance, as the stand-in gives them out."""
    return f"MIG-57a4d140-0000-5000-8000-{gpu:08x}{instance:04x}"


def whole(gpu: int) -> str:
    """UUID of a whole GPU."""
    return f"GPU-57a4d140-0000-4000-8000-{gpu:012x}"


# What the driver has, what CUDA_VISIBLE_DEVICES says, and the devices that are then there.
SEEN: dict[str, tuple[dict[str, str], str | None, tuple[str, ...]]] = {
    "one": ({"STAND_IN_GPUS": "1"}, None, ("0",)),
    "two": ({"STAND_IN_GPUS": "2"}, None, ("0", "1")),
    "four": ({"STAND_IN_GPUS": "4"}, None, ("0", "1", "2", "3")),
    "a subset": ({"STAND_IN_GPUS": "4"}, "3,1", ("3", "1")),
    "by UUID": ({"STAND_IN_GPUS": "4"}, whole(2), ("2",)),
    "by UUID and index": ({"STAND_IN_GPUS": "4"}, f"{whole(2)},0", ("2", "0")),
    "by a short UUID": ({"STAND_IN_GPUS": "1"}, "GPU-57a4", ("0",)),
    "instances": ({"STAND_IN_INSTANCES": "2"}, None, (mig(0, 0), mig(0, 1), mig(1, 0), mig(1, 1))),
    "chosen instances": (
        {"STAND_IN_INSTANCES": "3"},
        f"{mig(1, 2)},{mig(0, 0)}",
        (mig(1, 2), mig(0, 0)),
    ),
    "the first instance": ({"STAND_IN_INSTANCES": "3"}, "1", (mig(1, 0),)),
}
# The same, and what is said where not all is as it was wished.
SAID: dict[str, tuple[dict[str, str], str | None, tuple[str, ...], str]] = {
    "no GPU": ({"STAND_IN_GPUS": "0"}, None, (), "no GPU is present"),
    "no driver": (
        {"STAND_IN_FAILURE": "9"}, None, (),
        "the NVIDIA driver does not answer (Driver Not Loaded)",
    ),
    "no instance": (
        {"STAND_IN_INSTANCES": "-1"}, None, (),
        "no GPU in MIG mode has an instance",
    ),
    "all hidden": ({}, "", (), "CUDA_VISIBLE_DEVICES='' hides all GPUs"),
    "unknown": ({}, "7", (), "CUDA_VISIBLE_DEVICES='7' names no GPU of this host"),
    "twice": ({}, "0,0", (), "CUDA_VISIBLE_DEVICES='0,0' names '0' twice, which hides all GPUs"),
    "some unknown": (
        {"STAND_IN_GPUS": "4"}, "1,9,0", ("1",),
        "CUDA_VISIBLE_DEVICES='1,9,0' has no single GPU for '9', which hides it and what follows",
    ),
    "too short a UUID": (
        {"STAND_IN_GPUS": "4"}, "1,GPU-57a4,0", ("1",),
        "has no single GPU for 'GPU-57a4', which hides it",
    ),
}  # fmt: skip


def look_at_all(cases: dict[str, tuple[dict[str, str], str | None]]) -> dict[str, Devices]:
    """The devices of each case, one after the other: a driver reads its environment anew."""
    found = {}
    for name, (driver, visible) in cases.items():
        changed = driver | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
        before = dict(os.environ)
        os.environ.update(changed)
        found[name] = find_devices()
        for key in changed:
            os.environ.pop(key)
        os.environ.update(before)
    assert "torch" not in sys.modules, "finding devices loads no torch"
    return found


@pytest.fixture(scope="session")
def seen(on_stand_in: Callable[..., Any]) -> dict[str, Devices]:
    """The devices of all cases, found in one process."""
    found: dict[str, Devices] = on_stand_in(
        look_at_all, {name: case[:2] for name, case in (SEEN | SAID).items()}
    )
    return found


@pytest.mark.parametrize("case", SEEN)
def test_gpus_are_found_as_cuda_would_show_them(seen: dict[str, Devices], case: str) -> None:
    indices = SEEN[case][2]
    devices = seen[case]
    assert (devices.kind, devices.count, devices.stand_in) == ("gpu", len(indices), True)
    assert devices.indices == indices
    assert set(devices.names) == {f"{NAME} MIG" if "MIG" in indices[0] else NAME}
    assert devices.why.startswith(f"found {len(indices)} GPU")
    assert devices.why.endswith("(a stand-in driver: no GPU computes)")


@pytest.mark.parametrize("case", SAID)
def test_what_hides_gpus_is_said(seen: dict[str, Devices], case: str) -> None:
    _, _, indices, said = SAID[case]
    devices = seen[case]
    assert devices.kind == ("gpu" if indices else "cpu")
    assert devices.indices == indices
    assert said in devices.why


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
    here = Path(__file__)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    chosen = f"{here}::test_what_hides_gpus_is_said"
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([*command, chosen], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the stand-in driver needs a C compiler" in done.stdout
