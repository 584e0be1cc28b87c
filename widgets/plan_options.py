"""Which settings of a plan can be chosen now, and why the others cannot: found by trying them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, get_args

from labkit.errors import LabError, PlanError
from labkit.figures.run_names import setting_name
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
from labkit.project.ideal import why_no_ideal
from labkit.workload import Workload

Values = Mapping[str, Any]

AUTO = "auto"  # the plan chooses; controls cannot hold None

CHOICES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "sync": get_args(Sync),
        "sync_every": (AUTO, 1, 2, 4, 8, 16, 32),
        "compression": get_args(Compression),
        "shard": get_args(Shard),
        "split": get_args(Split),
        "schedule": get_args(Schedule),
        "virtual_stages": (AUTO, 2, 3, 4, 8),
        "microbatches": (AUTO, 1, 2, 4, 8, 16, 32, 64),
        "placement": get_args(Placement),
        "tensor_style": get_args(TensorStyle),
        "sequence_parallel": (False, True),
        "checkpoint_activations": (False, True),
    }
)
PLAN_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Plan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a plan is tried against.

    Attributes:
        workload: with the settings of the form.
        num_devices: that there are.
        emulated: whether a declared device paces the run.
    """

    workload: Workload
    num_devices: int
    emulated: bool = False

    def plan(self, values: Values) -> Plan:
        """The checked plan of the settings that mean something.

        Raises:
            PlanError: it cannot be; says why, and the way out.
        """
        chosen = {n: values[n] for n in PLAN_FIELDS if values.get(n, AUTO) != AUTO}
        plan = Plan(**{name: v for name, v in chosen.items() if not idle(name, values)})
        plan.validate(self.workload, self.num_devices)
        why = why_no_ideal(plan) if self.emulated else ""
        if why:
            raise PlanError(f"this plan cannot be emulated: {why}; measure it instead")
        return plan

    def trouble(self, values: Values) -> str:
        """Why there is no such plan; empty where there is one."""
        try:
            self.plan(values)
        except LabError as error:
            return str(error)
        return ""

    def unavailable(self, name: str, values: Values) -> dict[Any, str]:
        """The choices of one setting that cannot be made now, each with its reason.

        A choice that only leaves the trouble that there is anyway is no worse than the present
        one, and stays.

        Args:
            name: of a setting in ``CHOICES``.
            values: all settings as they are.
        """
        present = self.trouble(values)
        found = {}
        for choice in CHOICES[name]:
            if choice == values[name]:
                continue
            trouble = self.trouble({**values, name: choice})
            if trouble and trouble != present:
                found[choice] = trouble
        return found


# -- settings that mean nothing under a plan ---------------------------------------------------


def idle(name: str, values: Values) -> str:
    """Why a setting changes nothing under the others; empty where it does."""
    rule = _IDLE.get(name)
    return rule(values) if rule is not None else ""


def _one_replica(values: Values) -> str:
    return "" if values["dp"] > 1 else "dp=1: one replica has nobody to agree with"


def _no_average(values: Values) -> str:
    return _one_replica(values) or (
        "" if values["sync"] == "average" else "only sync=average waits some steps"
    )


def _no_async_server(values: Values) -> str:
    return _one_replica(values) or (
        "" if values["sync"] == "async_parameter_server" else "only async_parameter_server is stale"
    )


def _no_buckets(values: Values) -> str:
    if values["dp"] == 1:
        return _one_replica(values)
    together = values["sync"] == "all_reduce" and values["split"] == "samples"
    return "" if together else "buckets are for sync=all_reduce of samples"


def _no_pipeline(values: Values) -> str:
    return "" if values["pp"] > 1 else "pp=1: there is no pipeline"


def _no_stages(values: Values) -> str:
    return _no_pipeline(values) or (
        "branches are placed, not stages" if values["placement"] == "branches" else ""
    )


def _no_chunks(values: Values) -> str:
    return _no_stages(values) or (
        "" if values["schedule"] == "interleaved1f1b" else "only interleaved1f1b has several a rank"
    )


def _no_slices(values: Values) -> str:
    return "" if values["tp"] > 1 else "tp=1: no layer is sliced"


_IDLE: Mapping[str, Callable[[Values], str]] = MappingProxyType(
    {
        "sync": _one_replica,
        "sync_every": _no_average,
        "max_staleness": _no_async_server,
        "bucket_mb": _no_buckets,
        "compression": _one_replica,
        "shard": _one_replica,
        "split": _one_replica,
        "schedule": _no_stages,
        "virtual_stages": _no_chunks,
        "cuts": _no_stages,
        "placement": _no_pipeline,
        "tensor_style": _no_slices,
        "sequence_parallel": _no_slices,
    }
)


# -- in words ----------------------------------------------------------------------------------


def said(choice: Any) -> str:
    """A choice as a control shows it."""
    return {True: "on", False: "off"}[choice] if isinstance(choice, bool) else str(choice)


def reasons(name: str, label: str, unavailable: Mapping[Any, str]) -> list[str]:
    """One line for each reason, with all the choices that it rules out.

    Args:
        name: of the setting, which the reasons mention with the choice: ``sync=ring``.
        label: of its control.
        unavailable: reason by choice.
    """
    grouped: dict[str, list[Any]] = {}
    for choice, why in unavailable.items():
        grouped.setdefault(why.replace(f"{name}={choice}", name), []).append(choice)
    return [
        f"Not now: {label} {', '.join(map(said, choices))} "
        f"({why if len(choices) > 1 else unavailable[choices[0]]})"
        for why, choices in grouped.items()
    ]


def idle_reasons(labels: Mapping[str, str], values: Values) -> list[str]:
    """One line for each reason, with all the settings that change nothing for it.

    Args:
        labels: of the controls, by the names of their settings.
        values: all settings as they are.
    """
    grouped: dict[str, list[str]] = {}
    for name, label in labels.items():
        why = idle(name, values)
        if why:
            grouped.setdefault(why, []).append(label)
    return [f"Off: {', '.join(found)} ({why})" for why, found in grouped.items()]


def differing(values: Values, names: Iterable[str], default: Plan) -> list[str]:
    """Settings that the reader chose, where they mean something: ``ring``, ``bucket_mb=0.5``."""
    return [
        setting_name(name, values[name])
        for name in names
        if values[name] != AUTO
        and not idle(name, values)
        and values[name] != getattr(default, name)
    ]
