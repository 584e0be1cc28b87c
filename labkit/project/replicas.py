"""Replicas that are themselves split over stages, slices, both or neither, on a declared device.

Every replica is a pipeline, of one stage where there is none. Only replicas that cross hosts at
different places differ, so one of each kind is simulated. After its actions each rank sums its
gradients over the replicas in one all_reduce and updates its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.emulate.device import Device, Link
from labkit.plan import Plan
from labkit.project.collectives import all_reduce_s
from labkit.project.compute import (
    layers_of_rank,
    optimizer_s,
    rank_parameter_bytes,
    updated_bytes,
)
from labkit.project.memory import pipeline_actions
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.project.simulate import Pipeline, SteadyStep, steady_step
from labkit.project.stage_work import Piece, StageWork
from labkit.workload import Workload


@dataclass(frozen=True, slots=True)
class ReplicaKind:
    """Replicas that cross hosts at the same places.

    Attributes:
        replicas: their numbers.
        pieces: what each action of a stage consists of.
        pipeline: one of them.
        token_sum_s: where sequences are split, sum of the gradients of what is not sliced: each
            rank has seen its own tokens only.
    """

    replicas: list[int]
    pieces: dict[tuple[str, int], tuple[Piece, ...]]
    pipeline: Pipeline
    token_sum_s: float


class Replicas:
    """The ranks of a plan on a device, and what each of them does in a step.

    Args:
        plan, profile, device, workload, stages: see ``ideal_step``.
    """

    def __init__(
        self,
        plan: Plan,
        profile: ModelProfile,
        device: Device,
        workload: Workload,
        stages: Sequence[range],
    ) -> None:
        self.plan = plan
        self.device = device
        layers = layers_of_rank(profile, plan)
        self.stages = [[layers[i] for i in of_stage] for of_stage in stages]
        self.num_samples = workload.global_batch // plan.num_replicas // plan.num_microbatches
        self.gradient_bytes = [
            sum(rank_parameter_bytes(layer, plan.tp) for layer in self._layers_at(place))
            for place in range(plan.pp)
        ]
        self.update_s = [
            optimizer_s(updated_bytes(size, workload), device) for size in self.gradient_bytes
        ]
        self.sum_s = [
            all_reduce_s(size, plan.dp, device.link(self._peers(place)))
            for place, size in enumerate(self.gradient_bytes)
        ]
        self.token_sum_bytes = 0
        if plan.sequence_parallel and plan.tp > 1:
            self.token_sum_bytes = sum(
                layer.num_parameter_bytes - layer.split_parameter_bytes for layer in layers
            )
        self.kinds = self._make_kinds()

    def rank(self, replica: int, place: int, tensor_rank: int = 0) -> int:
        """Global number of a rank on the mesh (dp, pp, tp)."""
        return (replica * self.plan.pp + place) * self.plan.tp + tensor_rank

    def _layers_at(self, place: int) -> list[LayerProfile]:
        return [layer for stage in self.stages[place :: self.plan.pp] for layer in stage]

    def _peers(self, place: int) -> list[int]:
        """The ranks that sum their gradients; of several tensor ranks, those that cross hosts."""
        groups = [
            [self.rank(replica, place, t) for replica in range(self.plan.dp)]
            for t in range(self.plan.tp)
        ]
        return next((g for g in groups if self.device.link(g) == self.device.across), groups[0])

    def _tensor_link(self, replica: int, place: int) -> Link:
        return self.device.link([self.rank(replica, place, t) for t in range(self.plan.tp)])

    def _stage_link(self, replica: int, sender: int, receiver: int) -> Link:
        """The link of a message; tensor ranks wait for each other, so the slowest one counts."""
        links = [
            self.device.link([self.rank(replica, sender, t), self.rank(replica, receiver, t)])
            for t in range(self.plan.tp)
        ]
        return self.device.across if self.device.across in links else links[0]

    def _make_kinds(self) -> list[ReplicaKind]:
        pp = self.plan.pp
        members: dict[tuple[Link, ...], list[int]] = {}
        for replica in range(self.plan.dp):
            links = [self._tensor_link(replica, place) for place in range(pp)]
            links += [self._stage_link(replica, place, (place + 1) % pp) for place in range(pp)]
            members.setdefault(tuple(links), []).append(replica)
        return [self._make_kind(replicas) for replicas in members.values()]

    def _make_kind(self, replicas: list[int]) -> ReplicaKind:
        plan, first = self.plan, replicas[0]
        kinds = ("F", "I", "W") if plan.schedule == "zero_bubble" else ("F", "B")
        pieces: dict[tuple[str, int], tuple[Piece, ...]] = {}
        for number, layers in enumerate(self.stages):
            link = self._tensor_link(first, number % plan.pp)
            work = StageWork(plan, self.device, self.num_samples, link)
            pieces |= {(kind, number): work.pieces(kind, layers) for kind in (*kinds, "B")}
        seconds = {key: sum(piece.seconds for piece in of_key) for key, of_key in pieces.items()}
        pipeline = Pipeline(
            pipeline_actions(plan),
            lambda action: seconds[action.kind, action.stage],
            boundary_bytes=[layers[-1].output_bytes * self.num_samples for layers in self.stages],
            link=lambda sender, receiver: self._stage_link(first, sender, receiver),
        )
        token_sum_s = 0.0
        if self.token_sum_bytes:
            link = self._tensor_link(first, 0)
            token_sum_s = all_reduce_s(self.token_sum_bytes, plan.tp, link)
        return ReplicaKind(replicas, pieces, pipeline, token_sum_s)

    def settle(self) -> SteadyStep:
        """Simulate one replica of each kind until the steps take equally long."""
        return steady_step([kind.pipeline for kind in self.kinds], self._update)

    def summed_s(self, ends_s: Sequence[Sequence[float]]) -> list[list[float]]:
        """When each place of each kind of replica has the gradients of the whole batch.

        Args:
            ends_s: when each has done its actions, by kind and place.
        """
        ready_s = [
            [end_s + kind.token_sum_s for end_s in of_pipe]
            for kind, of_pipe in zip(self.kinds, ends_s, strict=True)
        ]
        if self.plan.dp == 1:
            return ready_s
        last_s = [max(of_place) for of_place in zip(*ready_s, strict=True)]
        summed_s = [ready + took for ready, took in zip(last_s, self.sum_s, strict=True)]
        return [summed_s] * len(self.kinds)

    def _update(self, ends_s: list[list[float]]) -> list[list[float]]:
        return [
            [summed + update for summed, update in zip(of_pipe, self.update_s, strict=True)]
            for of_pipe in self.summed_s(ends_s)
        ]
