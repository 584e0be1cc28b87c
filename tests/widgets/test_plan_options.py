"""Which settings can be chosen: found by trying them against the rules of plans."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.workload import WORKLOADS, find_workload
from widgets.plan_options import AUTO, CHOICES, Attempt, idle, idle_reasons, reasons

DEFAULTS: dict[str, Any] = {
    **{name: choices[0] for name, choices in CHOICES.items()},
    "schedule": "1f1b",
    "max_staleness": 2,
    "bucket_mb": AUTO,
    "cuts": AUTO,
}


def values(**chosen: Any) -> dict[str, Any]:
    return {"dp": 1, "pp": 1, "tp": 1, **DEFAULTS, **chosen}


def attempt(workload: str = "fruit", devices: int = 8, emulated: bool = False) -> Attempt:
    return Attempt(workload=find_workload(workload), num_devices=devices, emulated=emulated)


@pytest.mark.parametrize("emulated", [False, True])
def test_whatever_is_offered_makes_a_plan_and_whatever_is_not_says_why(emulated: bool) -> None:
    degrees = itertools.product((1, 2, 4), (1, 2, 4), (1, 2))
    offered = refused = 0
    for (dp, pp, tp), workload in itertools.product(degrees, WORKLOADS):
        tried = attempt(workload, 32, emulated)
        now = values(dp=dp, pp=pp, tp=tp)
        if tried.trouble(now):
            continue
        for name, choices in CHOICES.items():
            if idle(name, now):
                continue
            unavailable = tried.unavailable(name, now)
            assert now[name] not in unavailable
            for choice in choices:
                trouble = tried.trouble({**now, name: choice})
                assert unavailable.get(choice, "") == trouble
                offered += not trouble
                refused += bool(trouble)
    assert offered > 500
    assert refused > 100


def test_trouble_that_is_there_anyway_rules_nothing_out() -> None:
    too_many = values(dp=4, pp=4)
    assert "16 but 8 devices" in attempt().trouble(too_many)
    assert "gpipe" not in attempt().unavailable("schedule", too_many)


def test_the_way_out_of_a_troubled_choice_is_offered() -> None:
    ring_in_hybrid = values(dp=2, pp=2, sync="ring")
    unavailable = attempt().unavailable("sync", ring_in_hybrid)
    assert "all_reduce" not in unavailable
    assert "for data parallelism alone" in unavailable["average"]


def test_settings_that_mean_nothing_are_left_out_of_the_plan() -> None:
    left_over = values(dp=4, schedule="interleaved1f1b", virtual_stages=4, sequence_parallel=True)
    assert attempt().plan(left_over) == Plan(dp=4)


def test_emulation_rules_out_what_has_no_declared_time() -> None:
    unavailable = attempt(emulated=True).unavailable("sync", values(dp=4))
    assert unavailable.keys() == {"async_parameter_server"}
    assert "cannot be emulated" in unavailable["async_parameter_server"]
    with pytest.raises(PlanError, match="measure it instead"):
        attempt(emulated=True).plan(values(dp=4, sync="async_parameter_server"))


def test_choices_with_one_reason_share_a_line() -> None:
    found = attempt().unavailable("sync", values(dp=2, pp=2))
    (line,) = reasons("sync", "Sync", found)
    assert line.startswith(
        "Not now: Sync ring, average, parameter_server, async_parameter_server (sync is for data"
    )
    assert line.endswith("choose pp=1 and tp=1, or sync=all_reduce)")


def test_idle_settings_with_one_reason_share_a_line() -> None:
    lines = idle_reasons({"sync": "Sync", "shard": "Shard", "schedule": "Schedule"}, values(pp=2))
    assert lines == ["Off: Sync, Shard (dp=1: one replica has nobody to agree with)"]
