"""Workers on GPUs by dask-cuda, several to a GPU where that is asked for."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from labkit.cluster.load import GPU_VARIABLE
from labkit.cluster.patient_cluster import PatientCluster

if TYPE_CHECKING:
    from distributed.deploy.spec import SpecCluster


def start_gpu_workers(
    indices: tuple[str, ...], num_workers: int, settings: dict[str, Any]
) -> SpecCluster:
    """dask-cuda's cluster of workers named 0, 1, ...; they go round over the GPUs.

    dask-cuda itself names a worker by its GPU, and so has no second worker for one.

    Args:
        indices: of the GPUs, as ``CUDA_VISIBLE_DEVICES`` names them.
        num_workers: workers to start; those beyond the GPUs share.
        settings: of ``LocalCUDACluster``.
    """
    from dask_cuda import LocalCUDACluster

    class GpuWorkers(PatientCluster, LocalCUDACluster):  # type: ignore[misc]
        """``LocalCUDACluster`` whose workers are numbered."""

        worker_spec: dict[Any, Any]

        def new_worker_spec(self) -> dict[int, dict[str, Any]]:
            """The next free number, and dask-cuda's own options for a worker on its GPU."""
            mine = self.worker_spec
            number = next(i for i in count() if i not in mine)
            gpus = self.cuda_visible_devices
            gpu = gpus[number % len(gpus)]
            self.worker_spec = dict.fromkeys(other for other in gpus if other != gpu)
            try:
                (spec,) = super().new_worker_spec().values()
            finally:
                self.worker_spec = mine
            spec["options"]["env"][GPU_VARIABLE] = str(gpu)
            # CUDA's own order of GPUs is by speed; NVML's, from which the indices are, is not.
            spec["options"]["env"]["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            return {number: spec}

    cluster: SpecCluster = GpuWorkers(
        CUDA_VISIBLE_DEVICES=list(indices), n_workers=num_workers, **settings
    )
    return cluster
