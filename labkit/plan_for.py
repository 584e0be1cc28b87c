"""A strategy and a number of devices make a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from labkit.errors import SettingError
from labkit.plan import STRATEGIES, Plan

# Settings that mean something to a strategy; a sweep hands the same settings to all of them.
_OF_DATA = ("sync", "sync_every", "max_staleness", "bucket_mb", "compression", "shard", "split")
_OF_PIPELINE = ("schedule", "virtual_stages", "cuts", "placement")
_OF_TENSOR = ("tensor_style", "sequence_parallel")
_OF_ALL = ("microbatches", "checkpoint_activations")
SETTINGS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": (*_OF_DATA, *_OF_ALL),
        "pipeline": (*_OF_PIPELINE, *_OF_ALL),
        "tensor": (*_OF_TENSOR, *_OF_ALL),
        "hybrid": (*_OF_PIPELINE, *_OF_ALL),
    }
)


def plan_for(strategy: str, num_devices: int, **settings: Any) -> Plan:
    """The plan by which a strategy uses a number of devices.

    ``data``, ``pipeline`` and ``tensor`` put every device on their own axis. ``hybrid`` splits
    the model over the smallest group that divides the devices, and the data over the groups: 4
    devices are 2 replicas of 2 stages, 2 devices one replica of 2 stages.

    Args:
        strategy: one of ``STRATEGIES``, or a variant of one, such as ``data+sync=ring`` or
            ``pipeline+schedule=gpipe+microbatches=8``.
        num_devices: devices to use, >= 1.
        settings: further fields of the plan; those of other strategies are left out.
    Returns:
        The plan; at one device every strategy is the same single-device run, ``Plan()``.
    Raises:
        SettingError: an unknown strategy or setting, or fewer than one device.
        PlanError: settings that exclude each other.
    """
    base, variant = parse_strategy(strategy)
    if num_devices < 1:
        raise SettingError(f"devices={num_devices} is not a count; choose a number >= 1")
    chosen = {name: value for name, value in settings.items() if name in SETTINGS_OF[base]}
    if num_devices == 1:
        return Plan()
    degrees: dict[str, Any] = {"dp": 1, "pp": 1, "tp": 1}
    if base == "hybrid":
        smallest = next(n for n in range(2, num_devices + 1) if num_devices % n == 0)
        degrees |= {"dp": num_devices // smallest, "pp": smallest}
    else:
        degrees[{"data": "dp", "pipeline": "pp", "tensor": "tp"}[base]] = num_devices
    return Plan(**degrees, **(chosen | variant))


def parse_strategy(text: str) -> tuple[str, dict[str, Any]]:
    """A strategy of a sweep and the settings behind its plus signs.

    Args:
        text: such as ``data`` or ``data+sync=average+sync_every=8``.
    Returns:
        The strategy, and fields of its plan by name.
    Raises:
        SettingError: an unknown strategy or setting, or a value of the wrong kind.
    """
    base, *parts = text.split("+")
    if base not in STRATEGIES:
        raise SettingError(f"strategy {base!r} is unknown; choose from {', '.join(STRATEGIES)}")
    settings: dict[str, Any] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name not in SETTINGS_OF[base]:
            raise SettingError(
                f"strategy {text!r}: {base} has no setting {name!r}; choose from "
                f"{', '.join(SETTINGS_OF[base])}"
            )
        try:
            settings[name] = _PARSERS.get(name, str)(value)
        except ValueError:
            raise SettingError(
                f"strategy {text!r}: {name}={value!r} cannot be read; give such as "
                f"{_EXAMPLES[name]}"
            ) from None
    return base, settings


def _flag(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise ValueError(text)
    return text != "false"


def _layer_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("/"))


_PARSERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "microbatches": int,
        "virtual_stages": int,
        "sync_every": int,
        "max_staleness": int,
        "bucket_mb": float,
        "cuts": _layer_numbers,
        "sequence_parallel": _flag,
        "checkpoint_activations": _flag,
    }
)
_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("microbatches", "virtual_stages", "sync_every", "max_staleness"), "8"),
        "bucket_mb": "0.5",
        "cuts": "2/4/6",
        **dict.fromkeys(("sequence_parallel", "checkpoint_activations"), "true"),
    }
)
