"""On somebody else's scheduler: clear the lab away when its client goes, however it went."""

from __future__ import annotations

import asyncio
import shutil

from distributed import Scheduler, SchedulerPlugin


class ClientWatch(SchedulerPlugin):
    """Removes a lab's worker plugin, and so its processes and files, when its client is lost.

    Args:
        name: of the worker plugin, and of this one.
        client: identifier of the client to watch.
        folder: the lab's on storage that all hosts share, which goes with it; empty for none.
    """

    idempotent = True

    def __init__(self, name: str, client: str, folder: str = "") -> None:
        self.name = name
        self.client = client
        self.folder = folder

    async def start(self, scheduler: Scheduler) -> None:
        """Remember the scheduler."""
        self.scheduler = scheduler

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Called by the scheduler when a client has closed or its connection broke."""
        if client == self.client:
            scheduler.loop.add_callback(self._clear_away)

    async def _clear_away(self) -> None:
        if self.name in self.scheduler.worker_plugins:
            await self.scheduler.unregister_worker_plugin(None, self.name)
        if self.folder:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        if self.name in self.scheduler.plugins:
            await self.scheduler.unregister_scheduler_plugin(self.name)
