"""The words of a cluster's map: of a worker, of the links, of what happened, and of all in one."""

from __future__ import annotations

from labkit.figures.axis_units import said_bytes
from labkit.figures.cluster_map_layout import HISTORY_LINES
from labkit.figures.wrap import wrapped
from labkit.runs.cluster_view import ClusterView, RankState, WorkerView

SAID: dict[RankState, str] = {"free": "no rank", "waiting": "waits"}
HISTORY_CHARACTERS = 128


def said_state(state: RankState) -> str:
    """The state of a rank."""
    return SAID.get(state, state)


def named(worker: WorkerView, room: int) -> str:
    """As much of its name and device as has room."""
    for said in (f"worker {worker.name}, {worker.device}", f"worker {worker.name}"):
        if len(said) <= room:
            return said
    name = worker.name
    return name if len(name) <= room else f"\u2026{name[1 - room :]}"


def said_busy(busy: float | None, *, on_gpu: bool) -> str:
    """A sample of a rank's load; nothing while there is none."""
    if busy is None:
        return ""
    return f"{busy:.0%} busy" if on_gpu else f"{busy:.2f} cores"


def carried(shown: ClusterView) -> str:
    """What the links carry, and whether they are slowed."""
    if not shown.kind:
        return ""
    slow = f"; slowed {shown.link_factor:g} times" if shown.link_factor > 1 else ""
    inside = f"Links carry {said_bytes(shown.inside_bytes)} a step"
    if len(shown.hosts) == 1:
        return f"{inside} between the ranks{slow}"
    return f"{inside} inside the hosts, {said_bytes(shown.across_bytes)} between them{slow}"


def newest(history: tuple[str, ...]) -> list[str]:
    """As many of the newest sentences as have room, newest first."""
    lines: list[str] = []
    for sentence in reversed(history):
        more = wrapped(sentence, HISTORY_CHARACTERS, 3).split("\n")
        if len(lines) + len(more) > HISTORY_LINES:
            break
        lines += more
    return lines or ["nothing yet"]


def spoken(shown: ClusterView) -> str:
    """The whole map in one sentence, for those who cannot see it."""
    each = "; ".join(_spoken_worker(worker, shown) for worker in shown.workers)
    several = len(shown.hosts) > 1
    hosts = f" on {len(shown.hosts)} hosts" if several else ""
    num = len(shown.workers)
    workers = "1 worker" if num == 1 else f"{num} workers"
    said = f"Map of {workers}{hosts}, {shown.title}. {each}"
    return said + (f". Newest: {shown.history[-1]}" if shown.history else "")


def _spoken_worker(worker: WorkerView, shown: ClusterView) -> str:
    state = said_state(worker.state)
    rank = "" if worker.rank is None else f"rank {worker.rank}, "
    leads = f", leads term {shown.term}" if worker.leads else ""
    busy = said_busy(worker.busy, on_gpu=worker.device.startswith("GPU"))
    return f"worker {worker.name}: {rank}{state}{leads}{', ' + busy if busy else ''}"
