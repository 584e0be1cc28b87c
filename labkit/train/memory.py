"""How much memory training took on this rank."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from torch import nn


class PeakMemory:
    """Measures by how much a rank grows, from the moment it is made.

    On a CPU it is the growth of the resident set to its peak (Linux lets a process reset that
    mark), on a GPU the peak of torch's allocator. A forked rank first takes copies of the pages
    that it shares with its server, and torch takes its own; training something tiny brings most of
    that about before the measurement begins.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._before_bytes = 0
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        elif sys.platform == "linux":
            _train_something_tiny()
            # "5" resets the peak of the resident set, proc(5).
            Path("/proc/self/clear_refs").write_text("5")
            self._before_bytes = _status_bytes("VmRSS")

    @property
    def growth_bytes(self) -> int:
        """Peak since then, above what was there."""
        if self.device.startswith("cuda"):
            return int(torch.cuda.max_memory_allocated())
        if sys.platform != "linux":
            return 0
        return max(0, _status_bytes("VmHWM") - self._before_bytes)

    @property
    def peak_bytes(self) -> int:
        """Most memory held so far: by the whole process, or by the GPU's allocator."""
        if self.device.startswith("cuda"):
            return int(torch.cuda.max_memory_allocated())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _train_something_tiny() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = nn.functional.cross_entropy(model(torch.ones(8, 8)), torch.zeros(8, dtype=torch.long))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _status_bytes(entry: str) -> int:
    """An entry of /proc/self/status, which counts in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/self/status has no {entry}")
