"""Which worker gets which rank: one replica of the model inside a host, replicas across hosts.

Tensor and pipeline ranks of a replica exchange activations many times a step, replicas their
gradients once. Ranks are numbered replica by replica (see ``Plan``), so a replica is a range of
neighbouring ranks, and putting ranges into hosts keeps the chatty ones together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def place_ranks(
    free: Mapping[str, Sequence[str]], num_ranks: int, per_replica: int, *, across_hosts: bool
) -> list[str]:
    """Workers by rank; none where the free ones do not suffice.

    One host is taken if all ranks fit there: the smallest such host, so that larger ones stay
    whole. Otherwise whole replicas go to as few hosts as possible, the fullest first.

    Args:
        free: addresses of the free workers of each host, in the order in which they are used.
        num_ranks: ranks, a multiple of ``per_replica``.
        per_replica: neighbouring ranks that must share a host.
        across_hosts: whether ranks may be on several hosts.
    Returns:
        One address per rank, or an empty list.
    """
    enough = [host for host, workers in free.items() if len(workers) >= num_ranks]
    if enough:
        host = min(enough, key=lambda name: (len(free[name]), name))
        return list(free[host][:num_ranks])
    if not across_hosts:
        return []
    chosen: list[str] = []
    for host in sorted(free, key=lambda name: (-len(free[name]), name)):
        missing = num_ranks - len(chosen)
        whole = min(missing, len(free[host]) // per_replica * per_replica)
        chosen += free[host][:whole]
    return chosen if len(chosen) == num_ranks else []


def largest_replica(workers: Mapping[str, Sequence[str]], num_ranks: int, per_replica: int) -> int:
    """Neighbouring ranks that can share a host: all of a replica, or fewer where none has so many.

    Args:
        workers: of each host, busy or not.
        num_ranks: of the run.
        per_replica: ranks of a replica.
    Returns:
        ``per_replica`` if whole replicas fit into hosts, else the largest divisor of it that does.
    """
    for size in range(per_replica, 0, -1):
        if per_replica % size == 0 and place_ranks(workers, num_ranks, size, across_hosts=True):
            return size
    return 1


def split_replicas(hosts: Sequence[str], per_replica: int) -> list[int]:
    """Replicas whose ranks are on more than one host.

    Args:
        hosts: host of each rank.
        per_replica: ranks of a replica.
    """
    return [
        start // per_replica
        for start in range(0, len(hosts), per_replica)
        if len(set(hosts[start : start + per_replica])) > 1
    ]


def host_of(worker: str) -> str:
    """The host in a worker's address, such as ``10.1.0.7`` of ``tcp://10.1.0.7:40123``."""
    return urlsplit(worker).hostname or worker


def local_ranks(workers: Sequence[str]) -> list[int]:
    """Place of each rank among the ranks on its host.

    Args:
        workers: address of the worker of each rank.
    """
    seen: Counter[str] = Counter()
    places = []
    for host in map(host_of, workers):
        places.append(seen[host])
        seen[host] += 1
    return places
