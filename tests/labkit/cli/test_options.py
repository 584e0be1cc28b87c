"""Options come from the fields of Plan and Workload: every one can be given, none is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from labkit.cli.options import plan_from, plan_options, workload_from, workload_options
from labkit.cli.program import cli
from labkit.errors import PlanError, WorkloadError
from labkit.plan import Plan
from labkit.workload import Workload, find_workload

# What describes the model rather than how it is trained.
NOT_SETTINGS = {
    "name", "description", "dataset", "model", "num_layers", "tensor_units", "num_features",
    "num_tokens", "num_branches",
}  # fmt: skip


@pytest.fixture
def parse() -> Callable[[str], dict[str, Any]]:
    """The values that a command with all options gets from a line."""
    parsed: dict[str, Any] = {}

    @click.command()
    @plan_options
    @workload_options
    def command(**options: Any) -> None:
        parsed.update(options)

    def parse(line: str) -> dict[str, Any]:
        CliRunner().invoke(command, line.split(), catch_exceptions=False, standalone_mode=False)
        return parsed

    return parse


def test_every_field_has_an_option(parse: Callable[[str], dict[str, Any]]) -> None:
    settings = {f.name for f in fields(Workload)} - NOT_SETTINGS
    assert set(parse("")) == {f.name for f in fields(Plan)} | settings


def test_without_options_the_plan_and_the_workload_are_the_plain_ones(
    parse: Callable[[str], dict[str, Any]],
) -> None:
    options = parse("")
    assert plan_from(options) == Plan()
    for name in ("fruit", "text", "logistic"):
        assert workload_from(name, options) == find_workload(name)


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        (
            "--pp 2 --schedule interleaved1f1b --microbatches 8 --virtual-stages 3 "
            "--cuts 1,2,3,4,5",
            Plan(
                pp=2, schedule="interleaved1f1b", microbatches=8, virtual_stages=3,
                cuts=(1, 2, 3, 4, 5),
            ),
        ),
        ("--dp 4 --sync average --sync-every 8", Plan(dp=4, sync="average", sync_every=8)),
        (
            "--dp 2 --sync async_parameter_server --max-staleness 0",
            Plan(dp=2, sync="async_parameter_server", max_staleness=0),
        ),
        (
            "--dp 2 --bucket-mb 0.5 --compression bf16",
            Plan(dp=2, bucket_mb=0.5, compression="bf16"),
        ),
        ("--dp 2 --shard parameters", Plan(dp=2, shard="parameters")),
        ("--dp 2 --split features", Plan(dp=2, split="features")),
        ("--tp 2 --tensor-style dtensor", Plan(tp=2, tensor_style="dtensor")),
        ("--tp 2 --sequence-parallel", Plan(tp=2, sequence_parallel=True)),
        ("--pp 3 --placement branches", Plan(pp=3, placement="branches")),
        ("--checkpoint-activations", Plan(checkpoint_activations=True)),
    ],
)  # fmt: skip
def test_a_line_describes_a_plan(
    parse: Callable[[str], dict[str, Any]], line: str, plan: Plan
) -> None:
    assert plan_from(parse(line)) == plan


def test_a_line_describes_a_workload(parse: Callable[[str], dict[str, Any]]) -> None:
    line = (
        "--global-batch 128 --learning-rate 0.5 --momentum 0 --reference-batch 64 "
        "--warmup-steps 3 --clip-norm 2 --precision bfloat16 --keep-last --seed 7"
    )
    assert workload_from("digits", parse(line)) == find_workload("digits").with_settings(
        global_batch=128, learning_rate=0.5, momentum=0.0, reference_batch=64, warmup_steps=3,
        clip_norm=2.0, precision="bfloat16", keep_last=True, seed=7,
    )  # fmt: skip


def test_impossible_values_are_refused_by_the_plan_and_the_workload(
    parse: Callable[[str], dict[str, Any]],
) -> None:
    with pytest.raises(PlanError, match="virtual_stages=0 is not a count"):
        plan_from(parse("--pp 2 --virtual-stages 0"))
    with pytest.raises(WorkloadError, match=r"momentum=1\.5"):
        workload_from("fruit", parse("--momentum 1.5"))


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_lists_the_choices(command: str) -> None:
    shown = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert "float32 | float64 | bfloat16" in shown
    assert ("gpipe | 1f1b | interleaved1f1b | zero_bubble" in shown) == (command == "train")
    assert "--emulate DEVICE" in shown
