"""The rendezvous of ranks: a TCPStore in a process of its own, on one address, on a free port.

The socket is bound before the store takes it over, so there is no race for the port, and bound to
loopback, or to this host's address in the trusted network where ranks are on several hosts; a store
left to itself would listen on every interface. It is not in rank 0's process, so it outlives the
death of any rank.
"""

from __future__ import annotations

import contextlib
import socket
from datetime import timedelta
from pathlib import Path

from labkit.cluster.rank_process import detach_from_parent, open_control


def main(control: int, folder: Path) -> int:
    """Serve a store until the worker that asked for it closes the control connection.

    Args:
        control: file descriptor of the connection on which this process is told, the address to
            bind to is received, and the port is reported.
        folder: folder of the cluster on this host (unused; the same call as a rank's).
    Returns:
        Exit code 0.
    """
    import torch.distributed as dist

    detach_from_parent()
    connection = open_control(control)
    address: str = connection.recv()
    listener = socket.socket()
    listener.bind((address, 0))
    listener.listen(256)
    port = listener.getsockname()[1]
    store = dist.TCPStore(
        address,
        port,
        None,
        True,
        timeout=timedelta(seconds=60),
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )
    connection.send(port)
    with contextlib.suppress(EOFError, OSError):
        connection.recv_bytes()
    del store
    return 0
