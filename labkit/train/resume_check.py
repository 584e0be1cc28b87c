"""Whether a training can go on from a checkpoint; the client asks first, then each rank."""

from __future__ import annotations

import json
from typing import Any

from labkit.errors import SettingError, WorkloadError
from labkit.train.checkpoint_files import Saved
from labkit.workload import Workload

_FREE = ("description",)  # of a workload; changes nothing


def check_goes_on(saved: Saved, workload: Workload, num_samples: int) -> None:
    """Refuse a checkpoint of another training.

    Args:
        saved: the checkpoint.
        workload: that is going to be trained.
        num_samples: of its training data.
    Raises:
        WorkloadError: another workload, or other settings of it.
        SettingError: another dataset.
    """
    wanted: dict[str, Any] = json.loads(json.dumps(workload.to_dict()))
    names = [n for n in wanted if n not in _FREE and wanted[n] != saved.workload.get(n)]
    if names:
        theirs = ", ".join(f"{name}={saved.workload.get(name)!r}" for name in names)
        ours = ", ".join(f"{name}={wanted[name]!r}" for name in names)
        raise WorkloadError(
            f"checkpoint {saved.folder} was trained with {theirs}, not with {ours}; go on with its "
            "own workload, or begin anew"
        )
    if saved.num_samples and saved.num_samples != num_samples:
        raise SettingError(
            f"checkpoint {saved.folder} was trained on {saved.num_samples:,} samples, but the "
            f"dataset has {num_samples:,}; the data order would be another one: go on with its own "
            "dataset"
        )


def check_steps(saved: Saved, num_steps: int) -> None:
    """Raise a SettingError unless there is a step left to do."""
    if saved.step >= num_steps:
        raise SettingError(
            f"checkpoint {saved.folder} has done {saved.step} steps, and steps={num_steps} are "
            f"asked for in all; choose more than {saved.step}"
        )
