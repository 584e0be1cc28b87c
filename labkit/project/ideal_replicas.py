"""The ideal step of pipelines, tensor groups, their hybrids, and of one device alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.breakdown import PARTS, IdealStep
from labkit.project.profile import ModelProfile
from labkit.project.replicas import ReplicaKind, Replicas
from labkit.project.simulate import Op
from labkit.runs.record import Span
from labkit.workload import Workload

# Kind and name of the span of an action.
SPANS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "F": ("forward", "forward"),
        "B": ("backward", "backward"),
        "I": ("backward", "input gradient"),
        "W": ("weight_grad", "weight gradient"),
    }
)


def ideal_replicas(
    plan: Plan, profile: ModelProfile, device: Device, workload: Workload, stages: Sequence[range]
) -> IdealStep:
    """The ideal step of a plan with other degrees than ``dp`` alone; see ``ideal_step``."""
    replicas = Replicas(plan, profile, device, workload, stages)
    steady = replicas.settle()
    ends_s = [[of_rank[-1].end_s for of_rank in of_pipe] for of_pipe in steady.ops]
    summed_s = replicas.summed_s(ends_s)
    zero_s = min(of_rank[0].start_s for of_pipe in steady.ops for of_rank in of_pipe)
    parts = dict.fromkeys(PARTS, 0.0)
    timeline: list[Span] = []
    for number, kind in enumerate(replicas.kinds):
        for place, ops in enumerate(steady.ops[number]):
            start_s, until_s = steady.starts_s[number][place], summed_s[number][place]
            weight = len(kind.replicas) / (plan.dp * plan.pp)
            _add_action_parts(parts, kind, ops, start_s, weight)
            parts["tp_comm"] += weight * kind.token_sum_s
            parts["dp_comm_exposed"] += weight * (until_s - ops[-1].end_s - kind.token_sum_s)
            parts["optimizer"] += weight * replicas.update_s[place]
            spans = [
                *_action_spans(kind, ops, start_s, zero_s),
                *_update_spans(replicas, kind, place, ops[-1].end_s - zero_s, until_s - zero_s),
            ]
            for replica in kind.replicas:
                for tensor_rank in range(plan.tp):
                    rank = replicas.rank(replica, place, tensor_rank)
                    timeline += [Span(rank, *span[1:]) for span in spans]
    return IdealStep(step_s=steady.period_s, breakdown_s=parts, timeline=timeline)


def _add_action_parts(
    parts: dict[str, float], kind: ReplicaKind, ops: Sequence[Op], start_s: float, weight: float
) -> None:
    """Share out what one rank did from the start of the step to its last action."""
    free_s = start_s
    for op in ops:
        computed_s = min(max(op.sent_s, free_s), op.start_s)
        parts["bubble"] += weight * (computed_s - free_s)
        parts["pp_comm"] += weight * (op.start_s - computed_s)
        free_s = op.end_s
    for action, *_ in ops:
        for piece in kind.pieces[action.kind, action.stage]:
            parts["tp_comm" if piece.name else "compute"] += weight * piece.seconds


def _action_spans(
    kind: ReplicaKind, ops: Sequence[Op], start_s: float, zero_s: float
) -> Iterator[Span]:
    """Waits, actions, and the collectives inside them, of rank 0 for now."""
    free_s = max(start_s, zero_s)
    for action, began_s, end_s, sent_s in ops:
        stage, microbatch = action.stage, action.microbatch
        computed_s = min(max(sent_s, free_s), began_s)
        if computed_s > free_s:
            wait_s = computed_s - free_s
            yield Span(0, stage, "idle", "bubble", free_s - zero_s, wait_s, microbatch, 0, 0)
        if began_s > computed_s:
            name = "receive activation" if action.kind == "F" else "receive gradient"
            wait_s = began_s - computed_s
            yield Span(0, stage, "comm_pp", name, computed_s - zero_s, wait_s, microbatch, 0, 0)
        took_s = end_s - began_s
        yield Span(0, stage, *SPANS[action.kind], began_s - zero_s, took_s, microbatch, 0, 0)
        at_s = began_s - zero_s
        for name, seconds, num_bytes in kind.pieces[action.kind, stage]:
            if name:
                yield Span(0, stage, "comm_tp", name, at_s, seconds, microbatch, num_bytes, 0)
            at_s += seconds
        free_s = end_s


def _update_spans(
    replicas: Replicas, kind: ReplicaKind, place: int, done_s: float, summed_s: float
) -> Iterator[Span]:
    """The gradients' way over tokens and replicas, and the optimiser, of rank 0 for now."""
    ready_s = done_s + kind.token_sum_s
    if ready_s > done_s:
        size = replicas.token_sum_bytes
        yield Span(0, place, "comm_tp", "gradients", done_s, kind.token_sum_s, -1, size, 0)
    if summed_s > ready_s:
        size = replicas.gradient_bytes[place]
        yield Span(0, place, "comm_dp", "gradients", ready_s, summed_s - ready_s, -1, size, 0)
    update_s = replicas.update_s[place]
    yield Span(0, place, "optimizer", "sgd", summed_s, update_s, -1, 0, 0)
