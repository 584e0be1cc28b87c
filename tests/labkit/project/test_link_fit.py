"""A link is found again from the times that it takes."""

from __future__ import annotations

import pytest

from labkit.emulate.device import Link
from labkit.errors import SettingError
from labkit.project.collectives import point_to_point_s
from labkit.project.link_fit import fit_link, half_size

SIZES = [4**power for power in range(3, 12)]


@pytest.mark.parametrize("link", [Link(3e9, 60e-6), Link(12.5e6, 1e-3), Link(75e6, 30e-6)])
def test_a_link_is_found_from_its_messages(link: Link) -> None:
    times_s = {size: point_to_point_s(size, link) for size in SIZES}
    found = fit_link(times_s)
    assert found.bandwidth_bytes_per_s == pytest.approx(link.bandwidth_bytes_per_s, rel=1e-9)
    assert found.latency_s == pytest.approx(link.latency_s, rel=0.25)
    expected = link.bandwidth_bytes_per_s * link.latency_s
    assert half_size(times_s) == pytest.approx(expected, rel=0.05)


def test_a_single_late_small_message_does_not_move_the_latency() -> None:
    times_s = {size: point_to_point_s(size, Link(3e9, 60e-6)) for size in SIZES}
    times_s[SIZES[2]] = 1.0
    assert fit_link(times_s).latency_s == pytest.approx(60e-6, rel=0.25)


def test_too_few_sizes_or_too_small_ones_are_refused() -> None:
    with pytest.raises(SettingError, match="2 sizes give no line; measure at least 3"):
        fit_link({4: 1e-5, 16: 2e-5})
    with pytest.raises(SettingError, match=r"64 bytes took 1.00e-05 s, no longer than 16 bytes"):
        fit_link({4: 1e-5, 16: 1e-5, 64: 1e-5})
