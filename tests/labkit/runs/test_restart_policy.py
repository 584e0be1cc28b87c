"""How often a run is started again, and with which plan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from labkit.cluster.gang import Progress
from labkit.cluster.supervision import OnFailure
from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.runs.restart_policy import RestartPolicy, next_job, next_num_ranks, smaller_plan
from labkit.train.checkpoint_files import Saved
from labkit.train.job import TrainJob
from labkit.workload import WORKLOADS

DIGITS = WORKLOADS["digits"].with_settings(global_batch=48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_restarts": -1}, r"max_restarts=-1 is not a count; choose a number >= 0"),
        ({"max_restarts": 1.5}, r"max_restarts=1.5 is not a count"),
        ({"on_failure": "wait"}, r"on_failure='wait' is not available; choose replace or shrink"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RestartPolicy(**settings)


@pytest.mark.parametrize(
    ("plan", "num_ranks", "expected"),
    [
        (Plan(dp=4), 4, Plan(dp=4)),
        (Plan(dp=4), 3, Plan(dp=3)),
        (Plan(dp=8), 7, Plan(dp=6)),  # 7 does not divide the global batch
        (Plan(dp=2, pp=2), 3, Plan(dp=1, pp=2)),
        (Plan(dp=4, shard="parameters"), 1, Plan(dp=1, shard="parameters")),
    ],
)
def test_a_plan_keeps_the_replicas_that_its_ranks_make_up(
    plan: Plan, num_ranks: int, expected: Plan
) -> None:
    assert smaller_plan(plan, DIGITS, num_ranks) == expected


@pytest.mark.parametrize("plan", [Plan(pp=2), Plan(tp=2), Plan(dp=2, pp=2)])
def test_a_plan_without_a_whole_replica_left_says_so(plan: Plan) -> None:
    with pytest.raises(PlanError, match=r"cannot go on with 1 of its \d ranks: .* needs 2"):
        smaller_plan(plan, DIGITS, 1)


@pytest.mark.parametrize(
    ("on_failure", "lost", "num_workers", "expected"),
    [
        ("replace", {1, 2}, 3, 4),
        ("shrink", {1, 2}, 4, 2),  # their workers are still there
        ("shrink", {1}, 2, 2),
        ("shrink", {0, 1, 2, 3}, 4, 4),  # no rank is left: on the workers that are
    ],
)
def test_ranks_that_are_left_when_no_leader_says_so(
    on_failure: OnFailure, lost: set[int], num_workers: int, expected: int
) -> None:
    progress, cluster = Progress(lost=lost), cast(Any, SimpleNamespace(num_workers=num_workers))
    assert next_num_ranks(4, on_failure, progress, cluster) == expected
    progress.decision = {"num_ranks": 3}
    assert next_num_ranks(4, on_failure, progress, cluster) == 3


def test_the_next_job_goes_on_from_a_checkpoint_unless_it_is_older_than_its_own_start() -> None:
    job = TrainJob(
        workload=DIGITS, plan=Plan(dp=4), dataset_folder="", num_steps=9,
        resume_from="step-000004", start_step=4,
    )  # fmt: skip
    found = {
        step: next_job(job, 3, Saved(folder=f"step-{step:06d}", step=step, plan={}, workload={}))
        for step in (2, 6)
    }
    assert (found[2].resume_from, found[2].start_step) == ("step-000004", 4)
    assert (found[6].resume_from, found[6].start_step) == ("step-000006", 6)
    assert found[2].plan == found[6].plan == next_job(job, 3, None).plan == Plan(dp=3)
