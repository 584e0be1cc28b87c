"""Every plan that cannot run is refused in one clear line before anything starts."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any, get_args

import pytest

from labkit.errors import PlanError
from labkit.plan import (
    Compression,
    Placement,
    Plan,
    Schedule,
    Shard,
    Split,
    Sync,
    TensorStyle,
)
from labkit.workload import WORKLOADS

NUM_DEVICES = 8
NUM_WANTED = 2_000
VALUES: dict[str, tuple[Any, ...]] = {
    "dp": (0, 1, 1, 2, 3, 4, 7, 16, -1, 2.5),
    "pp": (0, 1, 1, 2, 3, 5, 8, 40, "2"),
    "tp": (1, 1, 1, 2, 3, 5, 8, 64),
    "schedule": (*get_args(Schedule), "zigzag"),
    "microbatches": (None, None, 0, 1, 2, 3, 5, 8, 7, -4, "four"),
    "virtual_stages": (None, None, 0, 1, 2, 3, 20),
    "cuts": (None, None, None, (1,), (3, 2), (1, 2, 3), (0,), (99,)),
    "sync": (*get_args(Sync), "gossip"),
    "sync_every": (None, 0, 4),
    "max_staleness": (0, 2, -1),
    "bucket_mb": (None, 1.0, 0.0, -2.0),
    "compression": (*get_args(Compression), "zip"),
    "shard": (*get_args(Shard), "all"),
    "split": (*get_args(Split), "rows"),
    "tensor_style": get_args(TensorStyle),
    "sequence_parallel": (False, True),
    "placement": get_args(Placement),
    "checkpoint_activations": (False, True),
}
# Beside the degrees at most this many settings differ from the default, so that each rule is met
# on its own and not always the first.
MOST_SETTINGS = 3


def impossible_plans() -> list[tuple[dict[str, Any], str, str]]:
    """Settings, workload and message of plans that were refused, drawn from a fixed seed."""
    generator = random.Random(7)
    degrees = ("dp", "pp", "tp")
    others = [name for name in VALUES if name not in degrees]
    refused: dict[str, tuple[dict[str, Any], str, str]] = {}
    for _ in itertools.count():
        names = [*degrees, *generator.sample(others, generator.randint(0, MOST_SETTINGS))]
        settings = {name: generator.choice(VALUES[name]) for name in names}
        workload = generator.choice(list(WORKLOADS))
        try:
            Plan(**settings).validate(WORKLOADS[workload], NUM_DEVICES)
        except PlanError as error:
            refused.setdefault(f"{sorted(settings.items(), key=str)} {workload}", (
                settings, workload, str(error),
            ))  # fmt: skip
        if len(refused) == NUM_WANTED:
            break
    return list(refused.values())


REFUSED = impossible_plans()


def test_each_refusal_is_one_line_with_a_value_and_a_way_out() -> None:
    for settings, workload, message in REFUSED:
        assert "\n" not in message, (settings, message)
        assert 20 < len(message) < 250, (settings, message)
        assert any(
            way in message for way in ("choose", "use ", "give ", "leave ")
        ), (settings, workload, message)  # fmt: skip
        assert any(character.isdigit() or character == "=" for character in message), message


def test_the_refusals_cover_every_kind_of_mistake() -> None:
    words = Counter(
        word
        for _, _, message in REFUSED
        for word in (*VALUES, "devices are available", "layers", "slices", "global batch")
        if word in message
    )
    expected = {*VALUES, "devices are available", "layers", "slices", "global batch"}
    assert expected - set(words) == {"tensor_style"} - set(words)


@pytest.mark.parametrize("settings", [
    {"dp": 2, "pp": 2, "tp": 2},
    {"dp": 8, "sync": "ring"},
    {"dp": 4, "shard": "parameters"},
    {"dp": 4, "compression": "powersgd"},
    {"dp": 5, "split": "features"},
    {"pp": 4, "schedule": "interleaved1f1b", "virtual_stages": 2},
    {"pp": 4, "schedule": "zero_bubble"},
    {"pp": 2, "cuts": (3,)},
    {"tp": 2, "tensor_style": "dtensor"},
])  # fmt: skip
def test_and_plans_that_can_run_are_not(settings: dict[str, Any]) -> None:
    Plan(**settings).validate(WORKLOADS["fruit"], NUM_DEVICES)
