"""The workers and devices that a lab runs on; owns all that it started."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import psutil

from labkit.cluster.ask_scheduler import CALL_S, ask_scheduler, worker_addresses
from labkit.cluster.backend import ON_CORES, Backend
from labkit.cluster.clear_host import close_owned, end_processes, find_fork_servers, remove_folder
from labkit.cluster.owed_calls import OwedCalls
from labkit.cluster.shared_files import remove
from labkit.cluster.silent_workers import restart
from labkit.cluster.workers import call_workers, describe_worker, withdraw_plugins
from labkit.errors import ClusterError, SettingError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

    from labkit.cluster.gang import Gang
    from labkit.cluster.hang_watch import HangWatch
    from labkit.cluster.supervision import Supervision
    from labkit.preprocess.dataset import Dataset
    from labkit.project.profile import ModelProfile

ClusterKind = Literal["cpu", "gpu", "existing"]
CLOSE_S = 10.0

logger = logging.getLogger(__name__)


class Cluster:
    """Dask workers with their devices; made by ``labkit.launch``. A context manager.

    Attributes:
        kind: ``cpu`` (local processes), ``gpu`` (dask-cuda) or ``existing`` (somebody's scheduler).
        why: one sentence: what was chosen and why.
        client: the Dask client.
        num_cores: processor cores that local workers share; ``None`` for an existing cluster.
        folder: private folder on the workers' host for data, removed when the cluster closes.
        datasets: bundled datasets that were prepared here, by name.
        profiles: what the layers of models cost here, by model, precision and dataset.
        most_workers: that were seen here at once, or are known to be coming.
        stop_asked: by run, called with who when another client of the scheduler asks it to stop.
        owed: what the scheduler has to be told, and is again while it does not answer.
        ranks_use: the backend and device of the ranks.
        trusted_network: over which ranks on several hosts may talk; empty keeps a run on one host.
        shares_files: whether all hosts see what any of them writes into ``folder``.
        on_shared_storage: whether ``folder`` is on storage that the user named for it.
    """

    def __init__(
        self,
        *,
        kind: ClusterKind,
        why: str,
        client: Client,
        owned: SpecCluster | None,
        num_cores: int | None,
        folder: Path,
        name: str,
    ) -> None:
        self.kind = kind
        self.why = why
        self.client = client
        self.num_cores = num_cores
        self.folder = folder
        self.plugin_name = name
        self.topic = name
        self.closed = False
        self._closing = False
        self.datasets: dict[str, Dataset] = {}
        self.profiles: dict[tuple[Any, ...], ModelProfile] = {}
        self.most_workers = 0
        self.stop_asked: dict[str, Callable[[str], None]] = {}
        self.owed = OwedCalls(client)
        self.ranks_use: Backend = ON_CORES
        self.trusted_network = ""
        self.shares_files = True
        self.on_shared_storage = False
        self._owned = owned
        self._gangs: dict[str, Gang] = {}
        self._workers: list[dict[str, Any]] = []
        self._workers_changed = True
        self._lock = threading.RLock()
        client.subscribe_topic(self.topic, self._take_events)
        client.subscribe_topic("all", self._take_cluster_event)
        # A weak reference: a cluster that nobody holds is not kept alive for the sake of its end.
        self._close_at_exit = partial(_close, weakref.WeakMethod(self.close))
        atexit.register(self._close_at_exit)

    # -- what is there -------------------------------------------------------------------------

    @property
    def num_workers(self) -> int:
        """Workers that the cluster has now."""
        return len(self.alive_workers())

    @property
    def num_shared_cores(self) -> int:
        """Processor cores that all ranks share; of an existing cluster one for each worker."""
        return self.num_cores or max(1, self.num_workers)

    @property
    def workers(self) -> list[dict[str, Any]]:
        """One entry per worker, by name: name, address, host, pid, device."""
        if self._workers_changed and not self.closed:
            self._workers_changed = False
            facts = self.call_workers(describe_worker, self.kind)
            if not facts:  # one was late: what was known is shown, and asked for again
                self._workers_changed = True
                return self._workers
            workers = [{"address": address, **fact} for address, fact in facts.items()]
            self._workers = sorted(workers, key=lambda w: (len(str(w["name"])), str(w["name"])))
        return self._workers

    @property
    def backend(self) -> str:
        """``nccl`` where every rank has a real GPU of its own, else ``gloo``."""
        return self.ranks_use.name

    @property
    def backend_why(self) -> str:
        """One sentence: which backend, and why that one."""
        return self.ranks_use.why

    @property
    def rank_device(self) -> str:
        """The device of a rank as the rank sees it."""
        return self.ranks_use.rank_device

    @property
    def dashboard_url(self) -> str:
        """Address of Dask's own dashboard; empty where there is none, as is usual here."""
        from labkit.cluster.web_pages import dashboard_url

        return dashboard_url(self.client, self._owned)

    @property
    def doors(self) -> list[str]:
        """Where somebody could come in, and how each door is locked, in plain sentences."""
        from labkit.cluster.doors import describe_doors

        return describe_doors(self)

    def alive_workers(self) -> list[str]:
        """Addresses of the workers that are there now."""
        if self.closed or self.client.status != "running":
            return []
        there = worker_addresses(self.client)
        self.expect_workers(len(there))
        return there

    def expect_workers(self, num_workers: int) -> None:
        """So many are, or will be, there at once: a run of as many may wait for them."""
        self.most_workers = max(self.most_workers, num_workers)

    def num_workers_within(self, queue_s: float) -> int:
        """Workers that a run may ask for: those of now; where it may wait, the most there were."""
        now = self.num_workers
        return self.most_workers if queue_s else now

    def call_workers(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: list[str] | None = None,
        timeout_s: float = CALL_S,
    ) -> dict[str, Any]:
        """Answers by worker of a function that runs on their event loops; none if one is late."""
        return call_workers(self.client, function, *args, workers=workers, timeout_s=timeout_s)

    def restart_workers(self, workers: list[str]) -> None:
        """Have the nannies of workers that do not answer, such as stopped ones, start them anew."""
        restart(self.client, workers)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.num_workers} workers"
        return f"<Cluster {self.kind}, {state}: {self.why}>"

    # -- ranks ---------------------------------------------------------------------------------

    def run_ranks(
        self,
        function: Callable[..., Any],
        num_ranks: int,
        *args: Any,
        timeout_s: float | None = None,
        queue_s: float = 0.0,
        on_start: Callable[[Gang], None] = lambda gang: None,
    ) -> list[Any]:
        """Call ``function(context, *args)`` on ranks and wait for the results.

        Args:
            function: gets a ``RankContext``; ``torch.distributed`` is initialised. May be defined
                in a notebook cell.
            num_ranks: ranks, one per worker, between 1 and the number of workers.
            timeout_s: seconds after which the ranks are ended; ``None`` waits for them.
            queue_s: seconds that they may wait for workers that are not free, or not there.
            on_start: called with their gang before they are waited for.
        Returns:
            The results by rank.
        Raises:
            SettingError: ``num_ranks`` is out of range.
            RankFailed: the first rank that raised or died, with its traceback.
            TimeoutError: they took longer than ``timeout_s``.
        """
        gang = self.start_ranks(function, num_ranks, args, queue_s=queue_s)
        try:
            on_start(gang)
            return gang.wait(timeout_s)
        except BaseException:
            gang.stop()
            with contextlib.suppress(Exception):
                gang.wait(CLOSE_S)
            raise

    def start_ranks(
        self,
        function: Callable[..., Any],
        num_ranks: int,
        args: tuple[Any, ...] = (),
        *,
        per_replica: int = 1,
        queue_s: float = 0.0,
        on_event: Callable[[int, dict[str, Any]], None] | None = None,
        on_placed: Callable[[Gang], None] | None = None,
        on_end: Callable[[Gang], None] | None = None,
        origin_s: float | None = None,
        run: str = "",
        supervision: Supervision | None = None,
        hang: HangWatch | None = None,
    ) -> Gang:
        """Like ``run_ranks`` without waiting; see ``Gang``."""
        from labkit.cluster.gang import Gang

        if self.closed:
            raise ClusterError("the cluster is closed; launch a new one")
        limit = self.num_workers_within(queue_s)
        if not 1 <= num_ranks <= limit:
            raise SettingError(
                f"{num_ranks} ranks do not fit {limit} workers; choose 1 to {limit}, or launch "
                "more workers"
            )
        return Gang(
            self,
            function,
            num_ranks,
            args,
            per_replica=per_replica,
            queue_s=queue_s,
            on_event=on_event,
            on_placed=on_placed,
            on_end=on_end,
            origin_s=origin_s,
            run=run,
            supervision=supervision,
            hang=hang,
        )

    def adopt(self, gang: Gang) -> None:
        """Deliver events to this gang from now on."""
        with self._lock:
            if self.closed or self._closing:
                raise ClusterError("the cluster is closed; launch a new one")
            self._gangs[gang.run] = gang

    def dismiss(self, gang: Gang) -> None:
        """Deliver no more events to this gang."""
        with self._lock:
            self._gangs.pop(gang.run, None)

    def _take_events(self, event: tuple[float, Any]) -> None:
        """On the client's IO thread: hand a batch of rank events to its gang; nothing else."""
        message = event[1]
        if "stop_by" in message:
            if (stop := self.stop_asked.get(message["run"])) is not None:
                stop(message["stop_by"])
            return
        gang = self._gangs.get(message["run"])
        if gang is not None:
            gang.inbox.put(("events", message["rank"], message["events"]))

    def _take_cluster_event(self, event: tuple[float, Any]) -> None:
        """On the client's IO thread: tell the gangs of a worker that was lost."""
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action in ("add-worker", "remove-worker"):
            self._workers_changed = True
        if action == "remove-worker":
            for gang in list(self._gangs.values()):
                gang.inbox.put(("lost", message["worker"]))

    # -- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        """End the runs, close the workers, and leave no process, port or file of ours behind."""
        with self._lock:
            if self.closed:
                return
            self._closing = True  # no gang comes after these
            gangs = list(self._gangs.values())
        for gang in gangs:
            gang.inbox.put(("close",))
        for gang in gangs:
            if gang.thread.ident is not None:  # else it is being placed, and will find us closed
                gang.thread.join(CLOSE_S)
        servers = self._fork_servers()
        with self._lock:
            self.closed = True
        atexit.unregister(self._close_at_exit)
        if self.client.status == "running":  # else the scheduler has gone, and the workers with it
            self._take_leave()
        self.client.close()
        if self._owned is not None:
            close_owned(self._owned)
        if self.kind != "existing":
            # A worker that was being restarted may have started another one meanwhile.
            end_processes([*servers, *self._fork_servers()], CLOSE_S)
            remove_folder(self.folder, CLOSE_S)

    def _take_leave(self) -> None:
        """Tell the scheduler; where one thing fails, the others are done all the same."""
        leave: list[partial[Any]] = [
            partial(self.client.unsubscribe_topic, "all"),
            partial(self.client.unsubscribe_topic, self.topic),
        ]
        if self.on_shared_storage:
            leave.append(partial(ask_scheduler, self.client, remove, str(self.folder)))
        if self._owned is None:
            leave.append(partial(withdraw_plugins, self.client, self.plugin_name))
        for each in leave:
            try:
                each()
            except (ClusterError, OSError) as error:
                what = each.func.__name__
                logger.warning("%s was closed, but %s failed: %s", self.plugin_name, what, error)

    def _fork_servers(self) -> list[psutil.Process]:
        """The fork server of this host, if it is ours and runs."""
        return [] if self.kind == "existing" else find_fork_servers(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _close(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    close = method()
    if close is not None:
        close()
