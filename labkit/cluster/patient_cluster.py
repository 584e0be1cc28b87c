"""Dask's cluster of nannies, which waits for a worker that its nanny starts anew."""

from __future__ import annotations

from typing import Any

from distributed.deploy import Cluster


class PatientCluster:
    """To be inherited from before a ``SpecCluster``.

    Dask (2026.7.1) looks 15 s after a loss whether a worker of that name is there. If not, it
    closes the nanny for good: on a busy machine, where Python alone may need longer to start, or
    where a worker is lost twice in that time. A nanny whose worker does not start in time closes
    itself; one whose worker cannot start for another reason logs that, and stays without a worker.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        Cluster._update_worker_status(self, op, msg)  # type: ignore[arg-type]
