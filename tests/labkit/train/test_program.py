"""The client names the rank's program without loading torch."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_program_and_its_results_loads_no_torch() -> None:
    code = (
        "import sys, labkit.train.program, labkit.train.job, labkit.runs.attribution;"
        "sys.exit('torch' in sys.modules or 'dask' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
