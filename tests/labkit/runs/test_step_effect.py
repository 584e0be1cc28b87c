"""What each step does to learning: judged on the same things, and failures are reported."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import LabError, SettingError, WorkloadError
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.spec import find_spec
from labkit.runs.hidden_columns import hide_columns
from labkit.runs.step_effect import CHANGING, VARIANTS, check_variants
from labkit.runs.step_effect_result import StepEffect, Trial, VariantEffect, spread
from labkit.runs.step_judge import by_thing, true_classes
from labkit.workload import find_workload

COLOURS = ("red", "green", "blue")
SMALL = find_workload("fruit").with_settings(global_batch=128)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Cluster]:
    with labkit.launch(2, device="cpu") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def updates() -> list[StepEffect]:
    return []


@pytest.fixture(scope="module")
def effect(two_workers: Cluster, updates: list[StepEffect]) -> StepEffect:
    """Fruit by size only: two seeds, the same data."""
    return labkit.step_effect(
        SMALL, cluster=two_workers, rows=4000, seeds=range(2), steps=20, hide=COLOURS,
        variants=["all steps", "no integration", "no cleaning", "no step"], redraw=False,
        on_update=updates.append,
    )  # fmt: skip


def test_without_cleaning_less_is_learned(effect: StepEffect) -> None:
    whole, spoilt = effect.of("all steps").accuracy, effect.of("no cleaning").accuracy
    assert whole is not None
    assert spoilt is not None
    assert whole.low > 0.99
    assert spoilt.high < whole.low - 0.01
    apart = effect.difference("no cleaning")
    assert apart is not None
    assert apart.high < -0.01


def test_the_true_class_decides_and_the_recorded_one_is_told_beside_it(effect: StepEffect) -> None:
    assert effect.judged_by == "true class"
    whole = effect.of("all steps")
    assert whole.accuracy is not None
    assert whole.accuracy_recorded is not None
    assert whole.accuracy_recorded.mean < whole.accuracy.mean  # some records are wrong


def test_all_variants_are_judged_on_the_same_things(effect: StepEffect) -> None:
    things = {trial.things for variant in effect.variants for trial in variant.trials}
    assert len(things) == 1
    assert 300 < things.pop() < 500
    assert effect.of("no integration").rows > effect.of("all steps").rows  # repeats are left in


def test_a_variant_that_diverges_says_why(effect: StepEffect) -> None:
    untreated = effect.of("no step")
    assert untreated.accuracy is None
    assert "diverged by step" in untreated.reason
    assert "too much for a learning rate of 0.02" in untreated.reason
    assert effect.remarks == [f"no step: {untreated.reason}"]


def test_it_grows_seed_by_seed_and_leaves_nothing(
    effect: StepEffect, updates: list[StepEffect], two_workers: Cluster
) -> None:
    assert [len(update.variants[0].trials) for update in updates] == [1, 2]
    assert updates[-1] == effect
    assert not list(Path(two_workers.folder).glob("step-effect-*"))
    assert not [key for key in two_workers.profiles if "step-effect" in key[2]]


def test_json_and_tables_hold_every_variant(effect: StepEffect) -> None:
    values = json.loads(json.dumps(effect.to_json(), allow_nan=False))
    assert values["kind"] == "measured"
    assert [each["name"] for each in values["variants"]] == [v.name for v in effect.variants]
    assert values["variants"][2]["steps"] == ["integration", "reduction", "transformation"]
    assert values["variants"][3]["accuracy"] is None
    assert str(effect).count("\n") == 5
    assert "| no cleaning |" in effect._repr_markdown_()


def test_each_seed_draws_its_own_data(two_workers: Cluster) -> None:
    drawn = labkit.step_effect(
        SMALL, cluster=two_workers, rows=1000, seeds=range(2), steps=20, variants=["all steps"]
    )
    first, second = drawn.variants[0].trials
    assert first.accuracy == second.accuracy == 1.0
    assert first.accuracy_recorded != second.accuracy_recorded  # other labels are wrong


PEBBLES = """
name = "pebbles"
key = "no"
label = "kind"
[columns]
no = {}
size = {}
weight = {}
kind = { kind = "category", names = ["flint", "chalk"] }
[sources.beach.fields]
no = "no"
size = "size"
weight = "weight"
kind = "kind"
"""


def test_any_data_that_a_specification_describes_can_be_judged(
    two_workers: Cluster, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    chalk = random.random(1200) < 0.5
    table = pd.DataFrame(
        {
            "no": np.arange(1200),
            "size": random.normal(np.where(chalk, 5.0, 3.0), 0.4),
            "weight": np.where(random.random(1200) < 0.1, np.nan, random.normal(1e6, 3e5, 1200)),
            "kind": np.where(chalk, "chalk", "flint"),
        }
    )
    table.to_csv(tmp_path / "beach.csv", index=False)
    (tmp_path / "pebbles.toml").write_text(PEBBLES)
    found = labkit.step_effect(
        SMALL, cluster=two_workers, sources=[tmp_path / "beach.csv"], seeds=range(1), steps=20,
        spec=tmp_path / "pebbles.toml", variants=["all steps", "no cleaning", "no step"],
    )  # fmt: skip
    assert (found.dataset, found.judged_by) == ("pebbles", "recorded class")
    whole, gaps, untreated = (variant.accuracy for variant in found.variants)
    assert whole is not None
    assert gaps is not None  # a gap is the mean once it is scaled: enough to train
    assert whole.mean > 0.95
    assert untreated is None


def test_stopped_at_once_there_is_nothing(two_workers: Cluster) -> None:
    with pytest.raises(LabError, match="stopped"):
        labkit.step_effect(SMALL, cluster=two_workers, rows=500, should_stop=lambda: True)
    assert not list(Path(two_workers.folder).glob("step-effect-*"))


@pytest.mark.parametrize(
    ("workload", "settings", "error", "message"),
    [
        ("digits", {}, SettingError, "goes through no steps; choose a workload on fruit"),
        ("fruit", {"rows": 500}, WorkloadError, "global batch of 2048 but the dataset has"),
        ("fruit", {"seeds": ()}, SettingError, "no seed to train with"),
        ("fruit", {"steps": 0}, SettingError, "steps=0 is not a length"),
        ("fruit", {"variants": ["no soap"]}, SettingError, "variants 'no soap'; choose from all"),
        ("fruit", {"variants": {"x": ["soap"]}}, SettingError, "variants hold 'soap'"),
        ("fruit", {"hide": ["weight"]}, SettingError, "hide names 'weight'; choose from diameter"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    two_workers: Cluster,
    workload: str,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    chosen: dict[str, Any] = {"seeds": range(1), "variants": ["all steps"], **settings}
    with pytest.raises(error, match=message):
        labkit.step_effect(workload, cluster=two_workers, **chosen)


def test_variants_leave_out_one_step_each() -> None:
    assert check_variants(None, [0], 1) == dict(VARIANTS)
    assert VARIANTS["no reduction"] == ("integration", "cleaning", "transformation")
    own = check_variants({"mine": ["transformation", "cleaning"]}, [0], 1)
    assert own == {"mine": ("cleaning", "transformation")}
    assert {*CHANGING} == {*VARIANTS["all steps"]}


def test_a_thing_counts_once_however_many_rows_describe_it() -> None:
    judged = by_thing(
        np.array([7, 3, 7, 7]),
        np.array([1, 0, 1, 0]),
        np.array([1, 1, 1, 1]),
        np.array([1, 0, 1, 1.0]),
    )
    assert judged.keys.tolist() == [3, 7]
    assert judged.recorded.tolist() == pytest.approx([0.0, 2 / 3])
    assert judged.true.tolist() == pytest.approx([1.0, 2 / 3])


def test_real_data_have_no_truth(tmp_path: Path) -> None:
    schema = Schema(columns=(Column(name="a"), Column(name="b", kind="category")), label="b")
    assert np.isnan(true_classes(np.arange(3), schema, str(tmp_path))).all()


def test_hidden_columns_are_named_nowhere() -> None:
    spec = find_spec("fruit")
    hidden = hide_columns(spec, (*COLOURS, "diameter_cm"))
    assert set(spec.schema.numbers) - set(hidden.schema.numbers) == {*COLOURS, "diameter_cm"}
    assert all(not {*COLOURS} & {*source.fields} for source in hidden.sources)
    assert hidden.cleaning.evidence == ("weight_g",)
    assert hidden.cleaning.related == ()
    assert "diameter_cm" not in hidden.integration.tolerance
    assert hide_columns(spec, ()) is spec
    with pytest.raises(SettingError, match="hide names 'fruit'; choose from diameter_cm"):
        hide_columns(spec, ["fruit"])


def test_seeds_that_failed_are_counted_and_the_others_kept() -> None:
    def trial(value: float | None) -> Trial:
        return Trial(
            seed=0, accuracy=value, accuracy_recorded=value, judged_by_truth=False, things=9,
            preprocess_s=1.0, train_s=1.0, rows=9, inputs=2, reason="" if value else "diverged",
        )  # fmt: skip

    mixed = VariantEffect("no cleaning", (), (trial(None), trial(0.5), trial(0.7)))
    assert mixed.reason == "1 of 3: diverged"
    assert mixed.accuracy == pytest.approx((0.6, 0.5, 0.7))
    assert spread([None]) is None
    effect = StepEffect(workload="w", dataset="d", training_steps=1, variants=(mixed,))
    assert effect.judged_by == "recorded class"
    assert not math.isnan(effect.variants[0].preprocess_s)
