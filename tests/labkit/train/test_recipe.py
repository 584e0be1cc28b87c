"""Every part of the recipe gives the same training as one process, under every split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.plan import Plan

NUM_STEPS = 6
GLOBAL_BATCH = 32
# Greatest relative difference of a loss that rounding explains.
ROUNDING = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 2e-2}

SPLITS: Mapping[str, Mapping[str, Any]] = {
    "data": {"dp": 2},
    "ring": {"dp": 2, "sync": "ring"},
    "parameter_server": {"dp": 2, "sync": "parameter_server"},
    "shard_optimizer": {"dp": 2, "shard": "optimizer"},
    "shard_gradients": {"dp": 2, "shard": "gradients"},
    "shard_parameters": {"dp": 2, "shard": "parameters"},
    "tensor": {"tp": 2},
}
# 700 samples in batches of 300: the third is one of 100, which the second replica has none of.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "clip_norm": {"clip_norm": 0.05},
    "float64": {"precision": "float64"},
    "bfloat16": {"precision": "bfloat16"},
    "warm_up": {"warmup_steps": 4, "reference_batch": 8},
    "keep_last": {"keep_last": True, "global_batch": 300},
}


def assert_equal(both: Any, precision: str = "float32") -> None:
    assert both.loss <= ROUNDING[precision]
    assert both.weights <= 10 * ROUNDING[precision]
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_a_recipe_gives_the_same_training_under_a_split(
    compare: Any, split: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    settings = {"num_steps": NUM_STEPS, "global_batch": GLOBAL_BATCH} | dict(recipe)
    assert_equal(compare("fruit", Plan(**split), **settings), recipe.get("precision", "float32"))


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_accumulating_gradients_and_forgetting_activations_change_nothing(
    compare: Any, split: Mapping[str, Any]
) -> None:
    plan = Plan(**split, microbatches=4, checkpoint_activations=True)
    assert_equal(compare("fruit", plan, num_steps=NUM_STEPS, global_batch=GLOBAL_BATCH))


ALL_AT_ONCE: Mapping[str, Mapping[str, Any]] = {
    "data": {},
    "ring": {"sync": "ring"},
    "parameter_server": {"sync": "parameter_server"},
    "shard_optimizer": {"shard": "optimizer"},
    "shard_parameters": {"shard": "parameters"},
    "features": {"split": "features", "microbatches": 1},
}


@pytest.mark.parametrize("split", ALL_AT_ONCE.values(), ids=ALL_AT_ONCE.keys())
def test_everything_at_once_on_four_ranks(compare: Any, split: Mapping[str, Any]) -> None:
    """In the last batch of 100 the four replicas have 75, 25, 0 and 0 samples."""
    settings: dict[str, Any] = {"dp": 4, "microbatches": 3, "checkpoint_activations": True}
    both = compare(
        "fruit",
        Plan(**(settings | dict(split))),
        num_steps=NUM_STEPS,
        clip_norm=0.05,
        precision="float64",
        warmup_steps=4,
        reference_batch=100,
        **RECIPES["keep_last"],
    )
    assert_equal(both, "float64")
    assert [step.samples for step in both.results[0].steps] == [300, 300, 100] * 2


@pytest.mark.parametrize("recipe", ["float64", "bfloat16", "warm_up", "keep_last"])
def test_averaging_after_every_step_follows_the_recipe(compare: Any, recipe: str) -> None:
    """All but clipping, which each replica does for itself; see test_averaging."""
    plan = Plan(dp=2, sync="average", sync_every=1)
    settings = {"num_steps": NUM_STEPS, "global_batch": GLOBAL_BATCH} | dict(RECIPES[recipe])
    assert_equal(compare("fruit", plan, **settings), RECIPES[recipe].get("precision", "float32"))


def test_a_clipped_training_is_another_one(compare: Any) -> None:
    """The norm is one that does clip, so that equal trainings show equal clipping."""
    both = [
        compare("fruit", Plan(), num_steps=NUM_STEPS, global_batch=GLOBAL_BATCH, **settings)
        for settings in ({}, RECIPES["clip_norm"])
    ]
    assert both[1].losses[-1] > both[0].losses[-1] * 1.01
