"""Whose seconds a run takes: this machine's own, or those of a declared device."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from labkit.emulate.device import DEVICES, Device, find_device
from labkit.errors import SettingError
from widgets.fields import dropdown, read_text, text, toggle, write

MEASURED, EMULATED = "measured", "emulated"
SCALE_AUTO = "auto"


class DeviceForm:
    """A switch, always in sight, and what belongs to its second position.

    Attributes:
        clock: measured or emulated.
        device, time_scale: of an emulation.
    """

    def __init__(self) -> None:
        self.clock = toggle(
            "Clock",
            {
                MEASURED: "real ranks on this machine, by the real clock",
                EMULATED: "real ranks that take the time of a declared device",
            },
            "98px",
        )
        self.device = dropdown("Device", DEVICES, "demo" if "demo" in DEVICES else None)
        self.time_scale = text("Time scale", SCALE_AUTO, "auto, or seconds here for one there")
        for control in self.options:
            control.layout = ipw.Layout(width="100%")  # its own: a sweep hides what is off
        self.time_scale.tooltip = "seconds on the wall for a second of the device"

    @property
    def options(self) -> list[Any]:
        """The controls that belong to an emulation."""
        return [self.device, self.time_scale]

    @property
    def emulated(self) -> bool:
        """Whether the switch stands on emulated."""
        return self.clock.value == EMULATED

    def read(self) -> tuple[str | None, float | None]:
        """The device's name and the time scale; both ``None`` where the run is measured.

        Raises:
            SettingError: the time scale is no number above 0.
        """
        if not self.emulated:
            return None, None
        scale = read_text(self.time_scale, SCALE_AUTO, float)
        if scale is not None and not scale > 0:
            raise SettingError(f"Time scale {scale} stops the clock; choose a number above 0")
        return str(self.device.value), scale

    def read_device(self) -> str | None:
        """The device's name; ``None`` where the run is measured."""
        return str(self.device.value) if self.emulated else None

    def declared(self) -> Device | None:
        """The chosen device, if any."""
        return find_device(str(self.device.value)) if self.emulated else None

    def render(self, *, active: bool) -> None:
        """A measured run has no device to choose."""
        write(self.clock, "disabled", active)
        for control in self.options:
            write(control, "disabled", active or not self.emulated)
        write(self.device, "tooltip", find_device(str(self.device.value)).description)

    def reasons(self) -> list[str]:
        """Why its controls are off."""
        return [] if self.emulated else ["Off: Device, Time scale (a measured run has neither)"]
