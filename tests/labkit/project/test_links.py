"""A link carries one message after the other."""

from __future__ import annotations

import pytest

from labkit.emulate.device import Link
from labkit.project.links import LinkClock


def test_a_message_on_a_free_link_takes_its_size_and_the_latency() -> None:
    assert LinkClock(Link(100.0, 0.5)).send(2.0, 300) == pytest.approx(2.0 + 3.0 + 0.5)


def test_a_second_message_waits_for_the_wire_but_not_for_the_latency() -> None:
    clock = LinkClock(Link(100.0, 0.5))
    clock.send(0.0, 300)
    assert clock.send(1.0, 100) == pytest.approx(3.0 + 1.0 + 0.5)


def test_a_link_that_has_become_free_delays_nothing() -> None:
    clock = LinkClock(Link(100.0, 0.0))
    clock.send(0.0, 100)
    assert clock.send(5.0, 100) == pytest.approx(6.0)
