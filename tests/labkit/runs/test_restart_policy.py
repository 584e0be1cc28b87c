"""How often a run is started again, and with which plan."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.runs.restart_policy import RestartPolicy, smaller_plan
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
