"""The cluster of one command, and what it can be asked for before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from labkit.cli.live_lines import wait_telling
from labkit.cli.options import Where
from labkit.cli.output import say
from labkit.errors import RunStopped, SettingError
from labkit.plan import Plan

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.runs.record import RunRecord
    from labkit.runs.run import Run


LAUNCHED_HERE = Where()


@contextmanager
def own_cluster(num_workers: int, where: Where = LAUNCHED_HERE) -> Iterator[Cluster]:
    """A cluster for one command, closed when it ends; with an address, the workers there."""
    from labkit.cluster.launch import launch

    wanted = num_workers if where.address is None else None
    with launch(wanted, **asdict(where)) as cluster:
        say(f"{cluster.why}. {cluster.backend_why}.")
        yield cluster


def wait_or_stop(run: Run) -> RunRecord:
    """The record of a run at its end; Control-C stops the run and keeps what it has done.

    Raises:
        RunStopped: another client stopped it before it had done a step.
        KeyboardInterrupt: it had done none, as it waited in the line; it has left that.
    """
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
