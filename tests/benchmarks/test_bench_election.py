"""The measurement of elections works with the store that the lab has now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOON_S = 120.0


def test_leaders_that_are_killed_have_successors_and_terms_one_leader() -> None:
    script = Path(__file__).with_name("bench_election.py")
    done = subprocess.run(
        [sys.executable, script, "5"], capture_output=True, text=True, timeout=SOON_S, check=False
    )
    assert done.returncode == 0, done.stderr
    killed, stopped, terms = done.stdout.splitlines()
    assert killed.startswith("SIGKILL: 4 leaders")
    assert stopped.startswith("SIGSTOP: 1 leaders")
    # A machine that is busy for longer than a lease makes a term more.
    assert re.fullmatch(
        r"\d+ terms; terms with two leaders \[\], with two that committed \[\]", terms
    )
