"""Messages by way of the host, as gloo needs them for tensors on a GPU; here of CPU tensors."""

from __future__ import annotations

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext


def send_around(context: RankContext, by_the_host: bool) -> tuple[list[float], bool]:
    """Each rank passes its number to the next, by a message and by an exchange.

    Returns:
        What arrived, and whether a tensor that was not waited for stayed untouched.
    """
    import torch

    from labkit.train import point_to_point

    point_to_point._by_the_host = lambda x, group: by_the_host  # type: ignore[assignment]
    after = (context.rank + 1) % context.world_size
    before = (context.rank - 1) % context.world_size
    mine, first, second = torch.full((3,), float(context.rank)), torch.zeros(3), torch.zeros(3)
    receiving = point_to_point.irecv(first, before, tag=7)
    sending = point_to_point.isend(mine, after, tag=7)
    untouched = not by_the_host or float(first.sum()) == 0.0
    receiving.wait()
    sending.wait()
    point_to_point.exchange([mine + 10], after, [second], before)
    if context.rank == 0:
        point_to_point.send(mine + 20, after)
    elif before == 0:
        point_to_point.recv(mine, before)
    return [float(x.mean()) for x in (first, second, mine)], untouched


def test_what_goes_by_way_of_the_host_arrives_as_what_does_not(cluster4: Cluster) -> None:
    straight = cluster4.run_ranks(send_around, 4, False, timeout_s=60.0)
    by_the_host = cluster4.run_ranks(send_around, 4, True, timeout_s=60.0)
    assert by_the_host == straight
    assert [found for found, _ in straight] == [
        [3.0, 13.0, 0.0],
        [0.0, 10.0, 20.0],
        [1.0, 11.0, 2.0],
        [2.0, 12.0, 3.0],
    ]
    assert all(untouched for _, untouched in by_the_host), "it lands when it is waited for"
