"""A projected step: how long it takes, what of, and what each rank does when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.runs.record import Span

PARTS = ("compute", "tp_comm", "pp_comm", "bubble", "dp_comm_exposed", "optimizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealStep:
    """One step of many, once each takes as long as the one before.

    Attributes:
        step_s: from one step to the next.
        breakdown_s: mean seconds of a rank, by ``PARTS``; they sum to ``step_s``. A ``bubble`` is
            waiting for another stage to compute, ``pp_comm`` for its message to arrive,
            ``dp_comm_exposed`` for gradients or parameters with nothing left to compute.
        timeline: what every rank does in one step, whose first action begins at 0.
    """

    step_s: float
    breakdown_s: Mapping[str, float]
    timeline: Sequence[Span]
