"""What a worker asks of its fork server, where the server does not answer in time."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster import fork_client
from labkit.cluster.fork_client import ForkClient
from labkit.errors import ClusterError

SOON_S = 30.0


def test_a_rate_that_is_answered_too_late_is_lifted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_client, "RATE_S", 0.05)
    client = ForkClient(tmp_path, private_network=True)
    server, client.connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server, client.connection:
        server.settimeout(SOON_S)
        assert client.set_network_rate(4_000_000, 0.2) == "the fork server does not answer"
        assert server.recv(64) == b"rate 4000000"
        assert server.recv(64) == b"rate 0"


def test_a_rate_that_nobody_was_asked_for_is_not_lifted(tmp_path: Path) -> None:
    client = ForkClient(tmp_path, private_network=True)
    assert client.set_network_rate(4_000_000, 0.0) == "the fork server does not answer: it is gone"
    assert client.connection is None


def test_a_process_that_does_not_come_is_named(tmp_path: Path) -> None:
    def gone(seconds: float) -> bool:
        raise EOFError

    client = ForkClient(tmp_path, private_network=False)
    child: Any = SimpleNamespace(
        control=SimpleNamespace(poll=gone), exit_code=lambda: "-9", server_pid=os.getpid()
    )
    deadline = time.monotonic() + SOON_S
    with pytest.raises(ClusterError, match="the store did not start: killed by SIGKILL"):
        client._has_come(child, "store", deadline, lambda: True)
    with pytest.raises(ClusterError, match="the rank was ended before it started, as its run has"):
        client._has_come(child, "rank", deadline, lambda: False)
    child.control.poll = lambda seconds: False
    with pytest.raises(ClusterError, match="the fork server did not start a rank within 60 s"):
        client._has_come(child, "rank", time.monotonic(), lambda: True)
