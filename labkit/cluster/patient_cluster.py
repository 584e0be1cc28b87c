"""Dask's cluster of nannies, which waits for a worker that its nanny starts anew."""

from __future__ import annotations

from typing import Any

import dask

LOST_S = 600.0


class PatientCluster:
    """To be inherited from before a ``SpecCluster``.

    Dask (2026.7.1) gives up a worker that has not come back 15 s after it was lost: it closes its
    nanny, and the cluster has a worker less for good. On a busy machine Python alone may need
    longer to start. A nanny that cannot start its worker closes by itself.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # The setting is looked up in there, when a worker is lost.
        with dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_S}):
            super()._update_worker_status(op, msg)  # type: ignore[misc]
