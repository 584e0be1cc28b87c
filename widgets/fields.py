"""The controls that forms are made of, and how what is typed into them is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ipywidgets as ipw

from labkit.errors import SettingError
from widgets.panel import DESCRIPTION, FULL

NOT_NOW = " (not now)"  # the browser side disables options that end so

Read = TypeVar("Read")


def dropdown(description: str, choices: Sequence[Any], value: Any = None) -> ipw.Dropdown:
    """A choice of one; it begins with the first."""
    return ipw.Dropdown(
        description=description,
        options=[(str(choice), choice) for choice in choices],
        value=choices[0] if value is None else value,
        style=DESCRIPTION,
        layout=FULL,
    )


def toggle(
    description: str, options: dict[str, str], button_width: str = "74px"
) -> ipw.ToggleButtons:
    """A choice of one that shows all; tooltips by option."""
    return ipw.ToggleButtons(
        description=description,
        options=list(options),
        tooltips=list(options.values()),
        style=ipw.ToggleButtonsStyle(button_width=button_width, description_width="92px"),
    )


def flag(description: str, tooltip: str = "") -> ipw.Checkbox:
    """On or off, under the other controls of a form."""
    box = ipw.Checkbox(description=description, value=False, indent=False, tooltip=tooltip)
    box.layout = ipw.Layout(width="auto", margin="2px 0 2px 96px")
    return box


def text(description: str, value: str, placeholder: str = "") -> ipw.Text:
    """A value that is typed, sent when it is left."""
    return ipw.Text(
        description=description,
        value=value,
        placeholder=placeholder,
        continuous_update=False,
        style=DESCRIPTION,
        layout=FULL,
    )


def count(description: str, least: int, most: int, value: int) -> ipw.BoundedIntText:
    """A whole number that is typed."""
    return ipw.BoundedIntText(
        description=description, min=least, max=most, value=value, style=DESCRIPTION, layout=FULL
    )


def mark_unavailable(control: ipw.Dropdown, unavailable: Sequence[Any]) -> None:
    """Let options look, and in the browser be, disabled; none moves, and the choice stays."""
    options = [
        (str(value) + (NOT_NOW if value in unavailable else ""), value)
        for _, value in control.options
    ]
    if list(control.options) == options:
        return
    value = control.value
    with control.hold_sync():
        control.options = options  # selects the first
        control.value = value


def offer(control: ipw.Dropdown, options: Sequence[tuple[str, Any]]) -> None:
    """Offer other options, by what they are called; what is chosen stays if it is among them."""
    if list(control.options) == list(options):
        return
    before, values = control.value, [value for _, value in options]
    control.options = list(options)
    if values:
        control.value = before if before in values else values[0]


def write(control: ipw.Widget, name: str, value: Any) -> None:
    """Set a trait only where it changes: what is written is sent to the browser."""
    if getattr(control, name) != value:
        setattr(control, name, value)


def read_text(control: ipw.Text, empty: str, parse: Callable[[str], Read]) -> Read | None:
    """What was typed; ``None`` where it is the word for nothing, or nothing.

    Args:
        control: a text field.
        empty: the word, such as ``auto``.
        parse: raises ValueError for what it cannot read.
    Raises:
        SettingError: what was typed cannot be read.
    """
    typed = str(control.value).strip()
    if typed in ("", empty):
        return None
    try:
        return parse(typed)
    except ValueError:
        raise SettingError(
            f"{control.description} {typed!r} cannot be read; give {control.placeholder}"
        ) from None


def layer_numbers(typed: str) -> tuple[int, ...]:
    """Cuts of a pipeline: ``2,4``."""
    return tuple(int(number) for number in typed.replace(";", ",").split(",") if number.strip())
