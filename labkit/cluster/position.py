"""Where a rank is: asked when a run does not go on, to find the one that the others wait for."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from labkit.cluster.rank_context import RankContext

_LIBRARIES = (f"{os.sep}torch{os.sep}", sysconfig.get_path("stdlib") + os.sep)


def tell_position(context: RankContext) -> dict[str, Any]:
    """The event ``position`` of this rank; called on another thread than the one that computes.

    Returns:
        ``collectives``: how many it has started in all its process groups; ``doing``: what the
        program said that it does; ``at``: the innermost line of its own, outside of libraries.
    """
    return {
        "type": "position",
        "collectives": num_collectives(),
        "doing": context.doing,
        "at": _innermost_line(),
    }


def num_collectives() -> int:
    """Collectives that this rank has started, summed over its process groups."""
    from torch.distributed import distributed_c10d

    groups: list[Any] = list(distributed_c10d._world.pg_map)
    return sum(group._get_sequence_number_for_group() for group in groups)


def find_culprit(
    positions: Mapping[int, Mapping[str, Any]], asked: Iterable[int]
) -> tuple[int, str]:
    """The rank that the others wait for, and why it is that one.

    Args:
        positions: what each rank said; one that is stopped, or holds Python's lock, says nothing.
        asked: ranks that were to say it.
    """
    silent = [rank for rank in asked if rank not in positions]
    if silent:
        return silent[0], "it does not answer"
    started = {rank: position["collectives"] for rank, position in positions.items()}
    # The one that is behind; where all are in the same collective, the first rank.
    rank = min(started, key=lambda rank: (started[rank], rank))
    most = max(started.values())
    behind = f"{most - started[rank]} collectives behind, " if started[rank] < most else ""
    return rank, f"{behind}at {positions[rank]['at']}"


def has_moved(
    before: Mapping[int, Mapping[str, Any]], after: Mapping[int, Mapping[str, Any]]
) -> bool:
    """Whether any rank has started a collective between two answers: then the run is only slow."""
    return any(after[rank]["collectives"] > before[rank]["collectives"] for rank in after)


def _innermost_line() -> str:
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and any(each in frame.f_code.co_filename for each in _LIBRARIES):
        frame = frame.f_back
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
