"""Declared devices: every figure has a source, and what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from labkit.emulate.device import DEVICES, Device, Link, find_device
from labkit.errors import SettingError


def plain(**changes: Any) -> dict[str, Any]:
    """The values of a file, with some changed."""
    figures = ("flops_per_s", "memory_bytes", "memory_bytes_per_s", "overhead_s")
    links = [
        f"{s}.{f}" for s in ("inside", "across") for f in ("bandwidth_bytes_per_s", "latency_s")
    ]
    values: dict[str, Any] = {
        "name": "mine",
        "description": "made up",
        **dict.fromkeys(figures, 1.0),
        "devices_per_host": 2,
        "inside": {"bandwidth_bytes_per_s": 2.0, "latency_s": 0.0},
        "across": {"bandwidth_bytes_per_s": 1.0, "latency_s": 0.1},
        "sources": dict.fromkeys((*figures, "devices_per_host", *links), "made up"),
    }
    return values | changes


def test_the_bundled_devices_are_declared_in_files_beside_the_code() -> None:
    assert DEVICES == ("a100-80gb", "demo", "h100-80gb", "v100-16gb")
    folder = resources.files("labkit.emulate") / "devices"
    assert all((folder / f"{name}.toml").is_file() for name in DEVICES)


@pytest.mark.parametrize("name", DEVICES)
def test_every_bundled_device_can_be_read_and_says_where_its_figures_come_from(name: str) -> None:
    device = find_device(name)
    assert device.name == name
    assert device.inside.bandwidth_bytes_per_s > device.across.bandwidth_bytes_per_s
    assert device.inside.latency_s <= device.across.latency_s
    assert all(len(source) > 10 for source in device.sources.values())


def test_the_device_for_teaching_says_so_at_every_figure() -> None:
    demo = find_device("demo")
    assert all(source.startswith("chosen for teaching") for source in demo.sources.values())
    assert demo.devices_per_host == 4


def test_a_device_is_returned_as_it_is() -> None:
    mine = replace(find_device("demo"), name="mine")
    assert find_device(mine) is mine


def test_an_unknown_device_is_refused_with_the_choices() -> None:
    with pytest.raises(SettingError, match="'b200' is not declared; choose from a100-80gb, demo"):
        find_device("b200")


def test_hosts_are_filled_in_order_of_ranks() -> None:
    device = Device.from_dict(plain())
    assert device.link([0, 1]) is device.inside
    assert device.link([2, 3]) is device.inside
    assert device.link([1, 2]) is device.across
    assert device.link([5]) is device.inside


def test_a_figure_without_a_source_is_refused_by_name() -> None:
    sources = {k: v for k, v in plain()["sources"].items() if k != "across.latency_s"}
    with pytest.raises(SettingError, match=r"'mine' names no source for across\.latency_s"):
        Device.from_dict(plain(sources=sources))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flops_per_s": 0.0}, r"flops_per_s=0\.0; choose a value above 0"),
        ({"devices_per_host": 0}, "devices_per_host=0; choose a value above 0"),
        ({"overhead_s": -1.0}, r"overhead_s=-1\.0; choose at least 0"),
        ({"inside": {"bandwidth_bytes_per_s": 0.0, "latency_s": 0.0}}, r"a link of 0\.0 bytes/s"),
        ({"inside": {"latency_s": 0.0}}, "'mine' cannot be read .*bandwidth_bytes_per_s"),
        ({"colour": "green"}, "'mine' cannot be read .*colour"),
    ],
)
def test_impossible_declarations_are_refused_in_one_line(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message) as found:
        Device.from_dict(plain(**changes))
    assert "\n" not in str(found.value)


def test_a_link_without_bandwidth_is_refused() -> None:
    with pytest.raises(SettingError, match="choose a bandwidth above 0"):
        Link(-1.0, 0.0)
