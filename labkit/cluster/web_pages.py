"""Dask's HTTP ports, which know no password: closed, unless its dashboard is asked for."""

from __future__ import annotations

from distributed import Client, Scheduler, Worker, WorkerPlugin

SCHEDULER_PAGES = "distributed.scheduler.http.routes"
WORKER_PAGES = "distributed.worker.http.routes"


def page_settings(*, dashboard: bool) -> dict[str, list[str]]:
    """Dask's configuration for a cluster with or without pages of its scheduler.

    Dask starts the servers in any case; until they are closed, they have nothing to tell. The
    lists are new each time, because Dask may append to them.
    """
    return {WORKER_PAGES: []} if dashboard else {SCHEDULER_PAGES: [], WORKER_PAGES: []}


class ClosedWebPages(WorkerPlugin):
    """Closes the HTTP port of every worker, those that restart too."""

    name = "labkit-closed-web-pages"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """On the worker's event loop."""
        close_http(worker)


def close_web_pages(client: Client, *, dashboard: bool) -> None:
    """Close the HTTP ports of a cluster's workers, and of its scheduler but for a dashboard."""
    client.register_plugin(ClosedWebPages())
    if not dashboard:
        client.run_on_scheduler(_close_scheduler)


def _close_scheduler(*, dask_scheduler: Scheduler) -> None:
    close_http(dask_scheduler)


def close_http(server: Scheduler | Worker) -> None:
    """On the event loop of a scheduler or worker: stop its HTTP server, and list it no more."""
    server.http_server.stop()
    server.services.pop("dashboard", None)
