"""A cluster and the run on it as they are at one moment, as plain values: what a map shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from labkit.runs.record import COMM_KINDS, Load, RunRecord

RankState = Literal[
    "free", "waiting", "starting", "running", "slowed", "lost", "gone", "done", "failed"
]

STEPS_BACK = 3  # newest whole steps over which bytes are averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker, and the rank that it has.

    Attributes:
        name, host, device: as in ``Cluster.workers``.
        rank: of the run; ``None`` where it has none.
        state: of the rank, else ``free``; ``gone`` of a worker that was lost and is not back.
        leads: whether its rank is the leader.
        busy: newest sample of its load, as in ``Load``; ``None`` while there is none.
        memory_bytes: newest sample, 0 while there is none.
    """

    name: str
    host: str
    device: str
    rank: int | None = None
    state: RankState = "free"
    leads: bool = False
    busy: float | None = None
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """All workers, and what goes on between them.

    Attributes:
        workers: in the order of their names, host by host.
        title: what runs, in a few words.
        kind: of the run: measured or emulated; empty without one.
        term: of the leader; 0 while nobody leads.
        inside_bytes: that ranks sent in a step inside their host, all ranks together.
        across_bytes: the same in groups whose ranks are on several hosts.
        link_factor: how many times slower than declared the links are now.
        history: sentences on what happened, newest last.
    """

    workers: tuple[WorkerView, ...]
    title: str = "no run"
    kind: str = ""
    term: int = 0
    inside_bytes: float = 0.0
    across_bytes: float = 0.0
    link_factor: float = 1.0
    history: tuple[str, ...] = ()

    @property
    def hosts(self) -> dict[str, list[WorkerView]]:
        """The workers of each host."""
        hosts: dict[str, list[WorkerView]] = {}
        for worker in self.workers:
            hosts.setdefault(worker.host, []).append(worker)
        return hosts


def cluster_view(
    workers: Sequence[Mapping[str, Any]],
    record: RunRecord | None = None,
    *,
    clock_s: float = 0.0,
    history: Sequence[str] = (),
    before: ClusterView | None = None,
) -> ClusterView:
    """What a map shows now.

    Args:
        workers: of ``Cluster.workers``.
        record: of the run on them, live or ended; ``None`` without one.
        clock_s: seconds since the call of ``train``.
        history: sentences on what happened to it.
        before: the view before; a worker that it has and that is lost now stays as ``gone`` until
            there are as many workers again.
    """
    loads = {} if record is None else {sample.rank: sample for sample in record.load}
    shown = [_worker(worker, record, clock_s, loads) for worker in workers]
    shown += _gone(shown, before)
    shown.sort(key=lambda w: (w.host, len(w.name), w.name))
    if record is None:
        return ClusterView(workers=tuple(shown), history=tuple(history))
    leader = _leader(record)
    inside, across = bytes_of_a_step(record)
    slowed = active_attacks(record, clock_s, "slow_link")
    return ClusterView(
        workers=tuple(shown),
        title=_title(record),
        kind=record.kind,
        term=leader["term"] if leader else 0,
        inside_bytes=inside,
        across_bytes=across,
        link_factor=slowed[-1]["factor"] if slowed else 1.0,
        history=tuple(history),
    )


def bytes_of_a_step(record: RunRecord) -> tuple[float, float]:
    """Bytes that all ranks handed over in one of the newest steps: inside hosts, and across them.

    A collective counts as across where the ranks that meet in it are on several hosts.
    """
    steps: dict[int, set[int]] = {}
    for span in record.spans:
        steps.setdefault(span.rank, set()).add(span.step)
    # Ranks tell of their spans one after another, and the newest step of a live one is not whole.
    live = record.status not in ("done", "stopped")
    back = -1 if live else None
    newest = {rank: sorted(own)[:back][-STEPS_BACK:] for rank, own in steps.items()}
    hosts = {device["rank"]: device.get("host") for device in record.devices}
    sums = [0.0, 0.0]
    for span in record.spans:
        counted = newest[span.rank]
        if span.step in counted and span.kind in COMM_KINDS:
            group = meets(span.rank, span.kind, record.plan)
            sums[len({hosts.get(rank) for rank in group}) > 1] += span.bytes / len(counted)
    return sums[0], sums[1]


def active_attacks(record: RunRecord, clock_s: float, what: str) -> list[dict[str, Any]]:
    """Slowdowns of a kind that last; fresh ranks are not slowed, but a real network still is."""
    last_s = record.recoveries[-1]["at_s"] if record.recoveries else 0.0
    network = what == "slow_link" and record.kind == "measured"
    return [
        attack
        for attack in record.attacks
        if attack["what"] == what
        and attack["at_s"] <= clock_s < attack["at_s"] + attack["seconds"]
        and (network or attack["at_s"] >= last_s)
    ]


def meets(rank: int, kind: str, plan: Mapping[str, Any]) -> list[int]:
    """The ranks that meet a rank for its messages of a kind, itself among them."""
    dp, pp, tp = plan["dp"], plan["pp"], plan["tp"]
    replica, place = divmod(rank, pp * tp)
    if kind == "comm_dp":
        return [each * pp * tp + place for each in range(dp)]
    first = replica * pp * tp
    if kind == "comm_tp":
        return [first + place // tp * tp + each for each in range(tp)]
    return [first + stage * tp + place % tp for stage in range(pp)]


def _worker(
    worker: Mapping[str, Any], record: RunRecord | None, clock_s: float, loads: Mapping[int, Load]
) -> WorkerView:
    named = {"name": str(worker["name"]), "host": worker["host"], "device": worker["device"]}
    if record is None:
        return WorkerView(**named)
    mine = [d["rank"] for d in record.devices if d.get("address") == worker["address"]]
    if not mine:
        return WorkerView(**named)
    rank, leader = mine[0], _leader(record)
    load = loads.get(rank)
    state = _state(rank, record, clock_s)
    return WorkerView(
        **named,
        rank=rank,
        state=state,
        leads=leader is not None and leader["rank"] == rank and state != "lost",
        busy=load.busy if load else None,
        memory_bytes=load.memory_bytes if load else 0,
    )


def _state(rank: int, record: RunRecord, clock_s: float) -> RankState:
    if record.status in ("done", "stopped"):
        return "done"
    if record.status == "failed":
        return "failed"
    if record.status == "starting":
        return "starting"
    last = record.recoveries[-1] if record.recoveries else None
    if last is not None and last["recovery_s"] is None:
        return "lost" if last["rank"] == rank else "waiting"
    slow = active_attacks(record, clock_s, "slow_rank")
    return "slowed" if any(a["target"] == rank for a in slow) else "running"


def _leader(record: RunRecord) -> dict[str, Any] | None:
    leads = bool(record.leaders) and not record.leaders[-1]["ended"]
    return record.leaders[-1] if leads else None


def _gone(shown: Sequence[WorkerView], before: ClusterView | None) -> list[WorkerView]:
    if before is None or len(shown) >= len(before.workers):
        return []
    there = {worker.name for worker in shown}
    return [
        WorkerView(name=w.name, host=w.host, device=w.device, state="gone")
        for w in before.workers
        if w.name not in there
    ]


def _title(record: RunRecord) -> str:
    steps = f"step {len(record.steps)} of {record.planned_steps}"
    again = f", restart {record.restarts}" if record.restarts else ""
    return f"{record.workload['name']}, {record.strategy} on {record.world_size}: {steps}{again}"
