"""How busy the device of a rank is while it trains."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import psutil

from labkit.cluster.rank_context import RankContext
from labkit.runs.record import Load

LOAD_S = 0.5  # NVML itself averages over up to a second
GPU_VARIABLE = "LABKIT_GPU"  # in the environment of workers on GPUs: index or UUID of their own


class LoadSampler:
    """Tells the client how busy this rank's device is, twice a second, from a thread.

    Of a GPU it is NVML's utilisation: the fraction of time in which any kernel ran, whoever's it
    was. Of a CPU it is the processor time that this rank's process took: 1.0 is one core.

    Args:
        ctx: of this rank; receives events ``{"type": "load", "load": Load}``.
    """

    def __init__(self, ctx: RankContext) -> None:
        self.ctx = ctx
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        """Until the rank is done, and once more then, so that a short run has a sample too."""
        process = psutil.Process()
        with gpu_handle(self.ctx.gpu) as handle:
            before_s, before_cpu_s = time.perf_counter(), time.process_time()
            ended = False
            while not ended:
                ended = self._stop.wait(LOAD_S)
                now_s, cpu_s = time.perf_counter(), time.process_time()
                if handle is not None:
                    busy, num_bytes = read_gpu(handle)
                else:
                    busy = (cpu_s - before_cpu_s) / max(now_s - before_s, 1e-6)
                    num_bytes = process.memory_info().rss
                before_s, before_cpu_s = now_s, cpu_s
                load = Load(self.ctx.rank, self.ctx.now(), busy, num_bytes)
                self.ctx.emit({"type": "load", "load": tuple(load)})


@contextlib.contextmanager
def gpu_handle(gpu: str) -> Iterator[Any]:
    """NVML's handle of a GPU or an instance by index or UUID; ``None`` where it has none.

    NVML is a watcher: when it fails, the run that it watches goes on without it.
    """
    if not gpu:
        yield None
        return
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        handle = None
        with contextlib.suppress(pynvml.NVMLError):
            handle = (
                pynvml.nvmlDeviceGetHandleByIndex(int(gpu))
                if gpu.isdigit()
                else pynvml.nvmlDeviceGetHandleByUUID(gpu)
            )
        yield handle
    finally:
        pynvml.nvmlShutdown()


def read_gpu(handle: Any) -> tuple[float | None, int]:
    """Utilisation of a GPU in 0..1 and the bytes of its memory in use.

    The utilisation is ``None`` where NVML does not tell it, as of an instance of a GPU.
    """
    import pynvml

    busy: float | None = None
    num_bytes = 0
    with contextlib.suppress(pynvml.NVMLError):
        num_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    with contextlib.suppress(pynvml.NVMLError):
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return busy, num_bytes


def own_gpu() -> str:
    """On a worker: index or UUID of its GPU, empty on a CPU worker."""
    return os.environ.get(GPU_VARIABLE, "")
