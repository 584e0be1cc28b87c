"""A link's latency and bandwidth from measured times, and where one gives way to the other."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from labkit.emulate.device import Link
from labkit.errors import SettingError

SMALL_SHARE = 4.0  # a size counts as small while it takes at most so many times the least time


def fit_link(times_s: Mapping[int, float]) -> Link:
    """The link that explains how long messages of several sizes took.

    time = latency + num_bytes / bandwidth has two regimes. Small messages take the latency,
    whatever their size; of the largest two, the difference is due to the bytes alone. A
    least-squares line over all sizes would let the largest ones alone decide the latency.

    Args:
        times_s: seconds of a message by its bytes; at least three sizes, a factor apart.
    Raises:
        SettingError: fewer sizes, or the largest is no slower than the one before: then it is too
            small to feel the bandwidth.
    Source: Hockney 1994, "The communication challenge for MPP", doi:10.1016/S0167-8191(06)80021-9.
    """
    if len(times_s) < 3:
        raise SettingError(f"{len(times_s)} sizes give no line; measure at least 3")
    *smaller, before, largest = sorted(times_s)
    slower_s = times_s[largest] - times_s[before]
    if slower_s <= 0:
        raise SettingError(
            f"{largest} bytes took {times_s[largest]:.2e} s, no longer than {before} bytes; "
            "measure larger messages, or repeat them more often"
        )
    bandwidth = (largest - before) / slower_s
    small = [size for size in (*smaller, before) if size * SMALL_SHARE < half_size(times_s)]
    return Link(
        bandwidth_bytes_per_s=bandwidth,
        latency_s=median(times_s[size] for size in small or [min(times_s)]),
    )


def half_size(times_s: Mapping[int, float]) -> float:
    """Bytes of which latency and bandwidth take equally long: between the regimes.

    Args:
        times_s: as of ``fit_link``.
    """
    *_, before, largest = sorted(times_s)
    per_byte_s = (times_s[largest] - times_s[before]) / (largest - before)
    return min(times_s.values()) / per_byte_s
