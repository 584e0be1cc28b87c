"""The time scale of an emulation: seconds on the wall for a second of the declared device.

Ranks sleep through what the device would still compute, so whatever they do for real must fit into
the time that they are given: their arithmetic, and what each piece of a step costs on this host,
however small it is there. A layer is called, a message is handed over, a round of a collective
wakes its ranks. With many ranks those costs are most of the work, and they are the ranks' together,
on the cores that they share. So the scale depends on what is going to run.

The costs were found on two cores by runs whose pace never sleeps
(``tests/benchmarks/bench_emulation.py unpaced``); it predicts most of them within a third.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.breakdown import IdealStep
from labkit.project.forecast import emulated_plan, forecast, single_step_s
from labkit.project.profile import ModelProfile
from labkit.workload import Workload

STEP_WALL_S = 2.0  # least time on the wall of a step of one emulated device
REAL_WORK_SHARE = 1 / 12  # of it that the arithmetic of all ranks together may take
BUSY_SHARE = 0.6  # of a step on the wall that all real work may take; beyond it ranks come late

# Seconds of a core.
LAYER_S = 0.2e-3  # to call a layer in one direction, beside its arithmetic
MESSAGE_S = 0.45e-3  # to hand a message and its declared arrival from rank to rank, both ends
ROUND_S = 0.3e-3  # of one rank in a round of a collective
# Seconds on the wall, however many cores there are: the ranks of a round wait for each other.
ROUND_WALL_S = 0.8e-3


class RealWork(NamedTuple):
    """What a step costs on a host, beside what is slept.

    Attributes:
        cpu_s: seconds of a core, of all ranks together.
        chain_s: seconds on the wall that one rank needs even if it never waits for a core.
    """

    cpu_s: float
    chain_s: float

    def wall_s(self, num_cores: int) -> float:
        """Seconds on the wall of a step in which nothing is slept."""
        return max(self.chain_s, self.cpu_s / num_cores)


def choose_time_scale(
    profile: ModelProfile,
    device: Device,
    workload: Workload,
    points: Iterable[tuple[Plan, Workload]],
    num_cores: int,
) -> float:
    """Seconds on the wall for a second of the device.

    A step of one device takes long enough on the wall for its parts on many ranks to be slept
    precisely, and a step of every plan that is going to run leaves its real work enough time.
    Runs that are to be compared on the wall, as those of one sweep, are chosen for together.

    Args:
        profile: of the model.
        device: the declared one.
        workload: of one device.
        points: plans that are going to run, each with its workload; all can be emulated.
        num_cores: that the ranks share.
    """
    single_s = single_step_s(profile, device, workload)
    arithmetic_s = workload.global_batch * sum(layer.measured_s for layer in profile.layers)
    scale = max(STEP_WALL_S, arithmetic_s / REAL_WORK_SHARE) / single_s
    for plan, of_plan in points:
        emulated = emulated_plan(plan, profile)
        ideal = forecast(emulated, profile, of_plan, device=device).ideal
        assert ideal is not None, "the plan cannot be emulated"
        needed_s = real_work(emulated, profile, of_plan, ideal).wall_s(num_cores) / BUSY_SHARE
        scale = max(scale, needed_s / ideal.step_s)
    return scale


def real_work(plan: Plan, profile: ModelProfile, workload: Workload, ideal: IdealStep) -> RealWork:
    """What a step of a plan costs on a host.

    Args:
        plan: as it is emulated.
        profile: of the model, with the seconds of its layers on this host.
        workload: names the global batch.
        ideal: the step on the device, whose timeline says what each rank takes part in.
    """
    n = plan.world_size
    arithmetic_s = workload.global_batch * sum(layer.measured_s for layer in profile.layers)
    calls = len(profile.layers) / plan.pp * plan.num_microbatches * _directions(plan)
    messages, rounds = _messages(plan, ideal), _rounds(plan, ideal)
    cpu_s = arithmetic_s + n * calls * LAYER_S + messages * MESSAGE_S
    cpu_s += rounds.total() * ROUND_S
    chain_s = arithmetic_s / n + calls * LAYER_S + max(rounds.values()) * ROUND_WALL_S
    # In a bubble a rank has nothing to do: its own work must fit into the rest of the step.
    return RealWork(cpu_s, chain_s / (1 - ideal.breakdown_s["bubble"] / ideal.step_s))


def _directions(plan: Plan) -> int:
    """How often a layer is called for a microbatch: forward and backward, or more parts of it."""
    is_halved = plan.pp > 1 and plan.schedule == "zero_bubble"
    return 2 + is_halved + plan.checkpoint_activations


def _sends_messages(plan: Plan) -> bool:
    """Whether replicas exchange gradients by messages instead of collectives."""
    return plan.dp > 1 and plan.sync in ("ring", "parameter_server")


def _messages(plan: Plan, ideal: IdealStep) -> int:
    """Messages of all ranks in a step."""
    between_stages = 2 * (plan.num_stages - 1) * plan.num_microbatches * plan.dp * plan.tp
    between_replicas = sum(span.kind == "comm_dp" for span in ideal.timeline)
    return between_stages + (between_replicas if _sends_messages(plan) else 0)


def _rounds(plan: Plan, ideal: IdealStep) -> Counter[int]:
    """Rounds of collectives that each rank takes part in during a step.

    A ring of n ranks takes 2 (n - 1) of them. Beside its payload, a blocking collective agrees on
    the time at which it began; the buckets of a backward do so once. The ranks also report.
    """
    rounds: Counter[int] = Counter(dict.fromkeys(range(plan.world_size), 0))
    has_buckets = set()
    for span in ideal.timeline:
        if span.kind == "comm_tp":
            rounds[span.rank] += 2 * 2 * (plan.tp - 1)
        elif span.kind == "comm_dp" and span.name.startswith("bucket "):
            rounds[span.rank] += 2 * (plan.dp - 1)
            has_buckets.add(span.rank)
        elif span.kind == "comm_dp" and not _sends_messages(plan):
            rounds[span.rank] += 2 * 2 * (plan.dp - 1)
    for rank in rounds:
        rounds[rank] += 2 * (plan.world_size - 1)
        rounds[rank] += 2 * (plan.dp - 1) if rank in has_buckets else 0
    return rounds
