"""The lab in a notebook: controls and live pictures over ``labkit``."""

from widgets.lab import Lab

__all__ = ["Lab"]
