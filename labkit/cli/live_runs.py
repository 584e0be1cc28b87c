"""``labkit runs live``, ``follow`` and ``stop``: runs on a scheduler, whoever started them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from labkit.cli import options
from labkit.cli.live_lines import wait_telling
from labkit.cli.output import DONE, FAILED, answer, say
from labkit.errors import SettingError

STOP_S = 30.0  # a stop takes a second, or some where the run's owner does not answer


@click.command("live")
@options.required_address
@options.as_json
def live_command(*, address: str, security: Path | None, as_json: bool) -> None:
    """The runs that train or wait on the scheduler at an address, of all its clients."""
    from labkit.cli.run_tables import live_table
    from labkit.runs.found import runs_on

    found = runs_on(address, security=security)
    listed = {"address": address, "runs": [run.to_json() for run in found]}
    answer(listed, as_json, lambda: live_table(found, address))


@click.command("follow")
@click.argument("run")
@options.required_address
@options.as_json
def follow_command(*, run: str, address: str, security: Path | None, as_json: bool) -> None:
    """Watch RUN to its end, then show its record; Control-C leaves the run alone."""
    from labkit.cli.run_report import train_table
    from labkit.runs.follow import follow

    with follow(address, run, security=security) as followed:
        found = followed.found
        say(
            f"following run {found.run} of {found.user} on {found.host}: {found.workload}, "
            f"{found.strategy} on {found.world_size}"
        )
        try:
            record = wait_telling(followed)
        except KeyboardInterrupt:
            with_security = f" --security {security}" if security else ""
            say(
                f"run {found.run} goes on; labkit runs stop {found.run} --address {address}"
                f"{with_security} stops it"
            )
            sys.exit(130)
    if followed.missing_steps:
        say(f"the first {followed.missing_steps} steps are known to the run's owner only")
    answer(record.to_json(), as_json, lambda: train_table(record))
    sys.exit(FAILED if record.status == "failed" else DONE)


@click.command("stop")
@click.argument("run")
@options.required_address
@options.as_json
def stop_command(*, run: str, address: str, security: Path | None, as_json: bool) -> None:
    """Stop RUN: all its ranks on the same step, or take it out of the line."""
    from labkit.runs.follow import follow

    with follow(address, run, security=security) as followed:
        found = followed.found
        if found.ended:
            raise SettingError(f"run {found.run} has ended ({found.status}); nothing runs any more")
        followed.stop()
        try:
            record = followed.wait(STOP_S)
        except TimeoutError:
            say(f"Error: run {found.run} has not stopped within {STOP_S:.0f} s")
            sys.exit(FAILED)
    found = followed.found
    stopped = {"run": found.run, "status": record.status, "step": found.step}
    text = f"run {found.run}: {record.status} after step {found.step} of {found.planned_steps}"
    if record.status == "failed":
        text += f"; {record.error.partition(chr(10))[0]}"
    answer(stopped, as_json, lambda: text)
    sys.exit(FAILED if record.status == "failed" else DONE)
