"""The command line. The only place that prints: results to stdout, everything else to stderr."""

from labkit.cli.program import main

__all__ = ["main"]
