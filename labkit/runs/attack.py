"""What a reader may do to a live run, to see how the cluster takes it.

Every attack goes to the worker that owns the rank, and is kept in ``RunRecord.attacks`` beside the
recoveries that follow from it, so that nobody takes a disturbed run for a quiet one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.cluster import attack_tasks
from labkit.cluster.doors import network_obstacle
from labkit.errors import ClusterError, SettingError
from labkit.runs.cluster_view import active_attacks, bytes_of_a_step
from labkit.runs.record import RunRecord
from labkit.runs.run import Run

FACTORS = (1.5, 10.0)  # slower than that, and a rank is late for its leader's lease
LINK_FACTORS = (1.5, 100.0)
LONGEST_S = 60.0
SLOWEST_STEP_S = 2.0  # of its messages alone; a run without a step for 6 s counts as hung
SLOW_FACTOR, LINK_FACTOR, SLOW_S = 4.0, 10.0, 8.0

Entry = dict[str, Any]


def kill_rank(run: Run, rank: int) -> Entry:
    """SIGKILL the process of a rank.

    Args:
        run: a live one.
        rank: of its ranks.
    Returns:
        What the record keeps of it.
    Raises:
        ClusterError: the run is over, or the rank has no process now.
        SettingError: there is no such rank.
    """
    attack = _attack(run, "kill_rank", rank)
    _on_worker_of(run, rank, attack_tasks.kill_own_rank)
    return run.note_attack(attack)


def kill_leader(run: Run) -> Entry:
    """SIGKILL the rank that leads now; raises as ``kill_rank``, and where nobody leads."""
    check_live(run)
    leader = leader_of(run)
    if leader is None:
        raise ClusterError(
            f"run {run.run} has no leader now; wait until its ranks have elected one"
        )
    attack = _attack(run, "kill_leader", leader)
    _on_worker_of(run, leader, attack_tasks.kill_own_rank)
    return run.note_attack(attack)


def kill_worker(run: Run, name: str) -> Entry:
    """SIGKILL a worker of the run's cluster, and with it its rank; its nanny starts another one.

    Args:
        run: a live one.
        name: of the worker, as in ``cluster.workers``.
    Raises:
        ClusterError: the run is over, the workers are not the lab's, or it does not answer.
        SettingError: there is no such worker.
    """
    check_live(run)
    cluster = run.cluster
    if cluster.kind == "existing":
        raise ClusterError(
            "these workers belong to somebody else's cluster and may not come back; kill a rank"
        )
    names = {str(worker["name"]): worker["address"] for worker in cluster.workers}
    if name not in names:
        raise SettingError(f"there is no worker {name!r}; choose from {', '.join(names)}")
    attack = _attack(run, "kill_worker", name)
    _ask(run, names[name], f"worker {name}", attack_tasks.kill_self)
    return run.note_attack(attack)


def slow_rank(run: Run, rank: int, factor: float = SLOW_FACTOR, seconds: float = SLOW_S) -> Entry:
    """Let a rank have its processor for 1/factor of the time, for some seconds.

    Args:
        run: a live one.
        rank: of its ranks.
        factor: how much slower; 1.5 to 10.
        seconds: for how long; above 0, at most 60.
    Raises:
        ClusterError: the run is over, or the rank has no process now or is slowed already.
        SettingError: no such rank, or a value out of range.
    """
    _check_slowdown(factor, FACTORS, seconds)
    attack = _attack(run, "slow_rank", rank, factor=factor, seconds=seconds)
    _on_worker_of(run, rank, attack_tasks.slow_own_rank, factor, seconds)
    _expect_slow_steps(run, seconds)
    return run.note_attack(attack)


def slow_link(run: Run, factor: float = LINK_FACTOR, seconds: float = SLOW_S) -> Entry:
    """Let the links between the ranks carry less, for some seconds.

    The declared links of an emulated run carry 1/factor of their bytes a second. The private
    network of the ranks of a measured run carries 1/factor of the bytes a second that the ranks
    have handed over so far, but so many that a step stays below some seconds.

    Args:
        run: a live one.
        factor: how much slower; 1.5 to 100.
        seconds: for how long, on the wall; above 0, at most 60.
    Raises:
        ClusterError: the run is over, its links are slowed already, cannot be, or a worker does
            not answer; says why.
        SettingError: a value out of range.
    """
    _check_slowdown(factor, LINK_FACTORS, seconds)
    check_live(run)
    obstacle = why_no_slow_link(run)
    if obstacle:
        raise ClusterError(obstacle)
    record = run.view()
    if active_attacks(record, run.clock_s, "slow_link"):
        raise ClusterError("the links are slowed already; wait until that is over")
    attack = _attack(run, "slow_link", "", factor=factor, seconds=seconds)
    if run.job.emulation is not None:
        if not run.gang.tell_ranks(("slow_link", factor, seconds)):
            raise ClusterError(
                "the links were left alone: a worker does not answer, or the ranks are being "
                "started; wait for the next step"
            )
    else:
        rate = attack["bytes_per_s"] = _slow_rate(record, factor)
        packet = (run.cluster.plugin_name, rate, seconds)
        _ask(run, run.gang.workers[0], "the network", attack_tasks.slow_own_network, *packet)
    _expect_slow_steps(run, seconds)
    return run.note_attack(attack)


def why_no_slow_link(run: Run) -> str:
    """Why the links of a run cannot be slowed; empty where they can."""
    if run.job.plan.world_size == 1:
        return "a single rank sends nothing"
    if run.job.emulation is not None:
        return ""
    if run.cluster.kind == "existing":
        return "the ranks talk over a network that is not the lab's; emulate a device"
    try:
        obstacle = network_obstacle(run.cluster)
    except FileNotFoundError:
        obstacle = "there is no fork server"
    if obstacle:
        return f"the ranks talk over this machine's own loopback ({obstacle}); emulate a device"
    return ""


def _slow_rate(record: RunRecord, factor: float) -> int:
    """Bytes a second for the private network of a measured run."""
    a_step = sum(bytes_of_a_step(record))
    if not a_step or not record.step_time_s:
        raise ClusterError("it is not known yet what the ranks send in a step; wait for some steps")
    return round(max(a_step / record.step_time_s / factor, a_step / SLOWEST_STEP_S))


def leader_of(run: Run) -> int | None:
    """The rank that leads now; ``None`` while there is none."""
    leaders = run.view().leaders
    return int(leaders[-1]["rank"]) if leaders and not leaders[-1]["ended"] else None


def check_live(run: Run) -> None:
    """Refuse a run that cannot be attacked.

    Raises:
        ClusterError: it is over, or its ranks have not begun.
    """
    if run.done:
        raise ClusterError(f"run {run.run} is over; start another one")
    if run.status == "starting":
        raise ClusterError(f"the ranks of run {run.run} have not begun; wait for its first step")


def _check_slowdown(factor: float, bounds: tuple[float, float], seconds: float) -> None:
    low, high = bounds
    if not low <= factor <= high:
        raise SettingError(f"factor={factor!r} is out of range; choose {low:g} to {high:g}")
    if not 0 < seconds <= LONGEST_S:
        raise SettingError(
            f"seconds={seconds!r} is out of range; choose more than 0 and at most {LONGEST_S:g}"
        )


def _attack(run: Run, what: str, target: int | str, **more: float) -> Entry:
    """What is kept of an attack that is about to be made; its time is before what follows."""
    steps = run.view().steps
    done = steps[-1].step + 1 if steps else 0
    return {"what": what, "target": target, "at_s": run.clock_s, "step": done, **more}


def _expect_slow_steps(run: Run, seconds: float) -> None:
    """Steps that take long are no hang meanwhile."""
    if run.gang.hang is not None:
        run.gang.hang.expect_slow_steps(seconds)


def _on_worker_of(run: Run, rank: int, task: Callable[..., str], *more: Any) -> None:
    """Call a task on the worker that has a rank of a live run."""
    check_live(run)
    gang = run.gang
    if rank not in range(gang.num_ranks):
        raise SettingError(f"run {run.run} has no rank {rank}; choose 0 to {gang.num_ranks - 1}")
    if rank >= len(gang.workers):  # the ranks of a further attempt are being placed
        raise ClusterError(f"rank {rank} was left alone: {attack_tasks.NO_RANK}")
    packet = (run.cluster.plugin_name, gang.run, *more)
    _ask(run, gang.workers[rank], f"rank {rank}", task, *packet)


def _ask(run: Run, worker: str, whom: str, task: Callable[..., object], *packet: Any) -> None:
    answers = run.cluster.call_workers(task, *packet, workers=[worker])
    obstacle = answers.get(worker, f"its worker {worker} does not answer")
    if obstacle:
        raise ClusterError(f"{whom} was left alone: {obstacle}")


ATTACKS: dict[str, Callable[..., Entry]] = {
    "kill_rank": kill_rank,
    "kill_leader": kill_leader,
    "kill_worker": kill_worker,
    "slow_rank": slow_rank,
    "slow_link": slow_link,
}
