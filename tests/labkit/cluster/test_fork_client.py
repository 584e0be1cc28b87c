"""What a worker asks of its fork server, where the server does not answer in time."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from labkit.cluster import fork_client
from labkit.cluster.fork_client import ForkClient

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
