"""Units of measure: from a source's unit to the common column's.

Conversions are found once, as exact fractions, so that 1 lb is 453.59237 g to the last bit.
"""

from __future__ import annotations

from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from labkit.errors import SettingError

USUAL = (
    "mm",
    "cm",
    "m",
    "km",
    "in",
    "ft",
    "mile",
    "g",
    "kg",
    "lb",
    "oz",
    "s",
    "min",
    "hour",
    "day",
)


class Conversion(NamedTuple):
    """Ours = ``factor`` times theirs + ``offset``."""

    factor: float = 1.0
    offset: float = 0.0


@lru_cache(maxsize=8)
def unit_registry(definitions: tuple[str, ...]) -> Any:
    """Pint's units and those of ``definitions``, such as ``"USD = EUR / 1.08"``.

    Raises:
        SettingError: a definition that pint cannot read.
    """
    import pint  # takes a second, and most parts need none

    registry: Any = pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
    for definition in definitions:
        try:
            registry.define(definition)
            if "[" not in definition:
                registry.Quantity(1, definition.partition("=")[0].strip()).to_base_units()
        except Exception as error:  # pint's parser raises whatever Python's tokenizer does
            raise SettingError(
                f"units: {definition!r} is no definition ({error}); write it as "
                '"EUR = [currency]" or "USD = EUR / 1.08"'
            ) from error
    return registry


def parse_unit(text: str, definitions: tuple[str, ...], where: str) -> Any:
    """The unit that ``text`` names.

    Raises:
        SettingError: no such unit; suggests some.
    """
    registry = unit_registry(definitions)
    try:
        return registry.Unit(text)
    except Exception as error:  # as above
        known = (*USUAL, *(each.partition("=")[0].strip() for each in definitions))
        near = get_close_matches(text, known, n=3, cutoff=0.5) or list(USUAL[:8])
        raise SettingError(
            f"{where}: unit {text!r} is unknown; did you mean {', '.join(near)}? Further units "
            'are defined with units = ["EUR = [currency]", ...]'
        ) from error


def conversion(theirs: str, ours: str, definitions: tuple[str, ...], where: str) -> Conversion:
    """How numbers in one unit become numbers in another.

    Raises:
        SettingError: an unknown unit, or two that measure different things.
    """
    if theirs == ours:
        return Conversion()
    registry = unit_registry(definitions)
    one, other = (parse_unit(text, definitions, where) for text in (theirs, ours))
    if one.dimensionality != other.dimensionality:
        raise SettingError(
            f"{where}: {theirs!r} is a unit of {_dimension(one)} and {ours!r} one of "
            f"{_dimension(other)}; no number turns one into the other: correct either unit"
        )
    at_zero, at_one = (registry.Quantity(Fraction(n), one).to(other).magnitude for n in (0, 1))
    return Conversion(float(at_one - at_zero), float(at_zero))


def _dimension(unit: Any) -> str:
    return str(unit.dimensionality) if unit.dimensionality else "nothing (a plain number)"
