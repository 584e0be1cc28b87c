"""Dask's HTTP ports, which know no password: closed, unless its dashboard is asked for."""

from __future__ import annotations

from importlib.util import find_spec

from distributed import Client, Scheduler, Worker, WorkerPlugin
from distributed.deploy.spec import SpecCluster

from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.workers import register

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


def dashboard_url(client: Client, owned: SpecCluster | None) -> str:
    """Address of Dask's own dashboard; empty where there is none.

    Args:
        client: of the scheduler.
        owned: the cluster, if it was started here.
    """
    # An own cluster's address is remembered from before its pages were closed.
    scheduler = owned.scheduler if owned is not None else None
    closed = scheduler is not None and "dashboard" not in scheduler.services
    if closed or find_spec("bokeh") is None:
        return ""
    try:
        return str(client.dashboard_link or "")
    except KeyError:  # the scheduler has closed its web pages
        return ""


def close_web_pages(client: Client, *, dashboard: bool) -> None:
    """Close the HTTP ports of a cluster's workers, and of its scheduler but for a dashboard."""
    register(client, ClosedWebPages(), ClosedWebPages.name)
    if not dashboard:
        ask_scheduler(client, _close_scheduler)


def _close_scheduler(*, dask_scheduler: Scheduler) -> None:
    close_http(dask_scheduler)


def close_http(server: Scheduler | Worker) -> None:
    """On the event loop of a scheduler or worker: stop its HTTP server, and list it no more."""
    server.http_server.stop()
    server.services.pop("dashboard", None)
