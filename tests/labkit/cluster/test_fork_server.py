"""The fork server by itself, before a cluster uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from labkit.cluster.fork_server import OWNER_FILE, SOCKET_NAME

SLOW_S, SOON_S = 120.0, 30.0


def test_a_server_whose_owner_goes_while_it_imports_ends_and_leaves_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "torch.py").write_text(f"import time; time.sleep({SLOW_S})")
    folder = tmp_path / "labkit-owned"
    folder.mkdir(mode=0o700)
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (folder / OWNER_FILE).write_text(str(owner.pid))
    server = subprocess.Popen(
        [sys.executable, "-m", "labkit.cluster.fork_server", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(slow), *filter(None, sys.path)])},
    )
    try:
        while not (folder / SOCKET_NAME).exists():
            assert server.poll() is None
            time.sleep(0.01)
        owner.communicate(b"\n", timeout=SOON_S)
        assert server.wait(SOON_S) == 0
        assert not folder.exists()
    finally:
        owner.kill()
        server.kill()
        server.wait(SOON_S)
