"""The command ``labkit``: its groups of commands, and how it ends."""

from __future__ import annotations

import logging
import sys

import click

from labkit.cli.demo import demo_command
from labkit.cli.lab import doctor_command, open_command
from labkit.cli.output import BAD_INPUT, FAILED, say
from labkit.cli.preprocess import preprocess_command
from labkit.cli.runs import runs_group
from labkit.cli.sweep import sweep_command
from labkit.cli.train import train_command
from labkit.errors import LabError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labkit")
@click.option("-v", "--verbose", is_flag=True, help="Log what the engine does.")
def cli(verbose: bool) -> None:
    """The interactive distributed training lab."""
    handler = logging.StreamHandler(sys.stderr)
    # On the handler: distributed sets the levels of its own loggers.
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", handlers=[handler])
    logging.getLogger("labkit").setLevel(logging.INFO if verbose else logging.WARNING)


for command in (
    open_command,
    demo_command,
    train_command,
    sweep_command,
    preprocess_command,
    runs_group,
    doctor_command,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: bad input is one clear line and exit status 2, a failed run 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        command = f"labkit {' '.join(sys.argv[1:2])}".strip()
        say(f"Error: {error.format_message()} (see '{command} --help')")
        sys.exit(BAD_INPUT)
    except LabError as error:
        say(f"Error: {error}")
        sys.exit(BAD_INPUT if isinstance(error, ValueError) else FAILED)
    except (KeyboardInterrupt, click.Abort):
        say("stopped")
        sys.exit(130)
