"""Declared devices: how fast they compute, how much they hold, how they are linked.

A device is a TOML file in ``devices/``. Every figure has a source. An emulation is as right as
this declaration: it checks protocols, schedules and overlap, never the declaration itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from labkit.errors import SettingError


@dataclass(frozen=True, slots=True)
class Link:
    """What one device can send: bytes a second in each direction, and seconds until they arrive."""

    bandwidth_bytes_per_s: float
    latency_s: float

    def __post_init__(self) -> None:
        if not self.bandwidth_bytes_per_s > 0 or not self.latency_s >= 0:
            raise SettingError(
                f"a link of {self.bandwidth_bytes_per_s} bytes/s and {self.latency_s} s is none; "
                "choose a bandwidth above 0 and a latency of at least 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A declared device, and the hosts that it comes in.

    Attributes:
        name: as on the command line.
        description: one line for people.
        flops_per_s: that dense layers achieve; below the vendor's peak.
        memory_bytes: of one device.
        memory_bytes_per_s: that its memory achieves.
        overhead_s: of starting one layer in one direction, whatever its size.
        devices_per_host: devices that share a host.
        inside: link between two devices of a host.
        across: link between devices of two hosts.
        sources: of each figure, by its name; those of links as ``inside.latency_s``.
    """

    name: str
    description: str
    flops_per_s: float
    memory_bytes: int
    memory_bytes_per_s: float
    overhead_s: float
    devices_per_host: int
    inside: Link
    across: Link
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in ("flops_per_s", "memory_bytes", "memory_bytes_per_s", "devices_per_host"):
            if not getattr(self, name) > 0:
                raise SettingError(
                    f"device {self.name!r}: {name}={getattr(self, name)!r}; choose a value above 0"
                )
        if not self.overhead_s >= 0:
            raise SettingError(
                f"device {self.name!r}: overhead_s={self.overhead_s!r}; choose at least 0"
            )

    def link(self, ranks: Sequence[int]) -> Link:
        """The slowest link that a group of ranks crosses; hosts are filled in order of ranks.

        Args:
            ranks: global numbers, at least one.
        """
        hosts = {rank // self.devices_per_host for rank in ranks}
        return self.inside if len(hosts) == 1 else self.across

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Device:
        """The device that the plain values of a file describe.

        Raises:
            SettingError: a figure is missing, unknown, impossible or without a source.
        """
        name = values.get("name", "?")
        try:
            links = {side: Link(**values[side]) for side in ("inside", "across")}
            device = cls(**{**values, **links})
        except (KeyError, TypeError) as error:
            raise SettingError(
                f"device {name!r} cannot be read ({error}); declare it like devices/demo.toml"
            ) from None
        missing = [figure for figure in _FIGURES if not device.sources.get(figure)]
        if missing:
            raise SettingError(
                f"device {name!r} names no source for {', '.join(missing)}; say where each "
                "figure comes from"
            )
        return device


_FIGURES = (
    "flops_per_s",
    "memory_bytes",
    "memory_bytes_per_s",
    "overhead_s",
    "devices_per_host",
    "inside.bandwidth_bytes_per_s",
    "inside.latency_s",
    "across.bandwidth_bytes_per_s",
    "across.latency_s",
)
_FOLDER = resources.files("labkit.emulate") / "devices"

DEVICES: tuple[str, ...] = tuple(
    sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml"))
)


@cache
def _load(name: str) -> Device:
    text = (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    return Device.from_dict({"name": name, **tomllib.loads(text)})


def find_device(name: str | Device) -> Device:
    """The declared device of that name; a ``Device`` is returned as it is.

    Raises:
        SettingError: no device has that name; lists those that are there.
    """
    if isinstance(name, Device):
        return name
    if name not in DEVICES:
        raise SettingError(f"device {name!r} is not declared; choose from {', '.join(DEVICES)}")
    return _load(name)
