"""The loopback of a private network carries as much as it is told to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labkit.cluster import private_network

PROGRAM = """
import encodings.idna, socket, sys, threading, time
from labkit.cluster import link_rate, private_network

obstacle = private_network.enter()
assert not obstacle, obstacle
NUM_BYTES = 2_000_000

def seconds():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def send():
            with socket.create_connection(server.getsockname()) as mine:
                mine.sendall(bytes(NUM_BYTES))
        thread = threading.Thread(target=send)
        thread.start()
        theirs, _ = server.accept()
        begun_s, got = time.perf_counter(), 0
        with theirs:
            while piece := theirs.recv(65_536):
                got += len(piece)
        thread.join()
    assert got == NUM_BYTES
    return time.perf_counter() - begun_s

times_s = [seconds()]
for rate in (4_000_000, 0, 0):
    link_rate.set_rate(rate)
    times_s.append(seconds())
print(*times_s)
"""


def test_a_rate_holds_and_is_lifted_again() -> None:
    if obstacle := private_network.try_in_child():
        pytest.fail(f"a private network is needed to try this: {obstacle}")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    free_s, slowed_s, *again_s = map(float, done.stdout.split())
    assert slowed_s > 0.4, "2 MB at 4 MB/s, but for what fits into the bucket"
    # On busy cores a transfer at full speed may take a while, too.
    assert slowed_s > 2 * max(free_s, min(again_s))
