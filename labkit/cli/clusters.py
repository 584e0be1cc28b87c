"""The cluster of one command, and what it can be asked for before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from labkit.cli.live_lines import wait_telling
from labkit.cli.options import Where
from labkit.cli.output import answer, say
from labkit.errors import RunStopped, SettingError
from labkit.plan import Plan

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.runs.record import RunRecord
    from labkit.runs.run import Run
    from labkit.runs.store import RunStore


LAUNCHED_HERE = Where()


@contextmanager
def own_cluster(
    num_workers: int, where: Where = LAUNCHED_HERE, queue_s: float = 0.0
) -> Iterator[Cluster]:
    """A cluster for one command, closed when it ends; with an address, the workers there.

    Args:
        num_workers: to launch; with an address, that the command needs.
        where: the cluster that runs already, if any.
        queue_s: seconds that the command may wait for its workers, also for those that have not
            come to the address yet.
    """
    from labkit.cluster.launch import launch

    wanted = num_workers if where.address is None else None
    with launch(wanted, **asdict(where)) as cluster:
        if queue_s:
            cluster.expect_workers(num_workers)
        say(f"{cluster.why}. {cluster.backend_why}.")
        yield cluster


def wait_and_keep(
    run: Run, store: RunStore, repeats: str = "", *, as_json: bool = False
) -> RunRecord:
    """The record of a run at its end, saved; Control-C stops the run and keeps what it has done.

    Of a run that fails, too, what is known is saved: its steps, and what it went on after.

    Args:
        run: that was started for this command.
        store: that keeps its record.
        repeats: the run that it repeats, if any.
        as_json: whether the record of a run that fails is printed, as the command's answer.
    Raises:
        RunStopped: another client stopped it before it had done a step.
        KeyboardInterrupt: it had done none, as it waited in the line; it has left that.
        Exception: what the run failed with.
    """
    try:
        record = _wait_or_stop(run)
    except Exception:
        record = run.view()
        if record.steps or record.recoveries:
            try:
                _keep(record, store, repeats)
            except SettingError as obstacle:  # what the run failed with matters more
                say(f"no record: {obstacle}")
        if as_json:
            answer(record.to_json(), as_json, str)
        raise
    _keep(record, store, repeats)
    return record


def _keep(record: RunRecord, store: RunStore, repeats: str) -> None:
    record.repeats = repeats
    say(f"record: {store.save(record)}")


def _wait_or_stop(run: Run) -> RunRecord:
    try:
        return wait_telling(run)
    except RunStopped as stopped:
        return _done_so_far(run, stopped)
    except KeyboardInterrupt as interrupt:
        run.stop()
        try:
            return run.wait()
        except RunStopped:
            return _done_so_far(run, interrupt)


def _done_so_far(run: Run, otherwise: BaseException) -> RunRecord:
    record = run.view()
    if not record.steps:
        raise otherwise
    return record


def check_devices(needed: int, address: str | None) -> None:
    """Refuse a count of devices that this host cannot give, before anything starts."""
    from labkit.cluster.capacity import most_workers

    if needed < 1:
        raise SettingError(f"devices={needed} is not a count; choose a number >= 1")
    if address is None and needed > most_workers():
        raise SettingError(
            f"{needed} devices but {most_workers()} are available on this machine; choose at most "
            f"{most_workers()}, or give the --address of a larger cluster"
        )


def check_emulation(
    emulate: str | None, time_scale: float | None = None, plans: Iterable[Plan] = ()
) -> None:
    """Refuse a device that is not declared, or a plan that cannot be emulated, before the start."""
    from labkit.project.forecast import check_emulated
    from labkit.train.train import find_emulated

    if find_emulated(emulate, time_scale) is not None:
        for plan in plans:
            check_emulated(plan)
