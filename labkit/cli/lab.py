"""``labkit open`` and ``labkit doctor``: the lab itself, and whether it can run here."""

from __future__ import annotations

import sys

import click

from labkit.cli import options
from labkit.cli.output import DONE, FAILED, answer


@click.command("open")
@click.argument("notebook", required=False)
@click.option("--port", type=int, help="Port of the server; a free one by default.")
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def open_command(notebook: str | None, port: int | None, browser: bool) -> None:
    """Open JupyterLab on a NOTEBOOK: token on, loopback only."""
    from labkit.open_lab import open_lab

    sys.exit(open_lab(notebook, port=port, browser=browser))


@click.command("doctor")
@options.as_json
def doctor_command(as_json: bool) -> None:
    """Say what is here, and whether the lab can run."""
    from labkit.doctor import examine

    report = examine()
    answer(report.to_json(), as_json, lambda: "\n".join(report.lines()))
    sys.exit(DONE if report.ok else FAILED)
