"""Workloads by name, and the settings they refuse."""

from __future__ import annotations

import pytest

from labkit.errors import WorkloadError
from labkit.workload import WORKLOADS, find_workload


def test_bundled_workloads_are_found_by_name_and_others_pass_through() -> None:
    assert list(WORKLOADS) == ["fruit", "digits", "text", "logistic", "deep", "branches"]
    mine = find_workload("text").with_settings(global_batch=32, seed=5)
    assert find_workload(mine) is mine
    assert (mine.global_batch, mine.seed) == (32, 5)
    assert WORKLOADS["text"].seed == 0


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(WorkloadError, match=r"'imagenet' is unknown; choose from fruit, digits"):
        find_workload("imagenet")


def test_a_model_that_is_no_workload_yet_is_told_how_it_becomes_one() -> None:
    with pytest.raises(WorkloadError, match=r"workload dict is unknown; .*Workload\.of\(build"):
        find_workload({})  # type: ignore[arg-type]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(WorkloadError, match=r"global_batch=0; choose at least 1"):
        find_workload("fruit").with_settings(global_batch=0)
    with pytest.raises(WorkloadError, match=r"learning_rate=-1.0; choose a value above 0"):
        find_workload("fruit").with_settings(learning_rate=-1.0)
    for setting, value, message in (
        ("momentum", 1.0, "momentum=1.0; choose a value from 0 to below 1"),
        ("warmup_steps", -1, "warmup_steps=-1; choose a number of at least 0"),
        ("reference_batch", 0, "reference_batch=0; choose at least 1"),
        ("clip_norm", 0.0, "clip_norm=0.0; choose a value above 0, or none"),
        ("precision", "int4", "precision='int4'; choose float32 or float64 or bfloat16"),
        ("seed", -3, "seed=-3; choose a whole number of at least 0"),
        ("seed", 2**64, "choose a whole number below 2"),
        ("global_batch", 12.5, "global_batch=12.5; choose a whole number"),
        ("learning_rate", float("inf"), "learning_rate=inf; choose a value above 0"),
    ):
        with pytest.raises(WorkloadError, match=message):
            find_workload("fruit").with_settings(**{setting: value})


def test_an_epoch_that_keeps_its_last_batch_has_one_step_more() -> None:
    workload = find_workload("fruit").with_settings(global_batch=100)
    assert workload.steps_per_epoch(250) == 2
    assert workload.with_settings(keep_last=True).steps_per_epoch(250) == 3
    assert workload.with_settings(keep_last=True).steps_per_epoch(200) == 2


def test_a_dataset_smaller_than_the_global_batch_is_refused() -> None:
    workload = find_workload("fruit").with_settings(global_batch=64)
    workload.check_samples(64)
    with pytest.raises(WorkloadError, match=r"global batch of 64 but the dataset has 63 training"):
        workload.check_samples(63)
