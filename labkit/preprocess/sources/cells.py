"""Reading one column's cells: numbers, units, names in several spellings, dates, tables.

A cell that holds nothing is missing; one that holds something of no known form is missing as well
and counted. Texts are worked on as their distinct values, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
import pint
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING, Column
from labkit.preprocess.sources.dates import read_dates
from labkit.preprocess.sources.fields import Field
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.names import fold, spelling_codes
from labkit.preprocess.sources.units import unit_registry

NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
SIZE = r"^(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\d\s].{0,19})?$"

# What pint raises for a text that is no unit: its own errors, and those of what parses for it.
NO_UNIT = (
    pint.PintError, TokenError, SyntaxError, AttributeError, KeyError, TypeError, ValueError,
    AssertionError, ArithmeticError,
)  # fmt: skip


class Cells(NamedTuple):
    """What was read.

    Attributes:
        values: (rows,) float64 with NaN, int32 codes with ``MISSING``, or texts with ``None``.
        unreadable: (rows,) not empty, yet of no known form.
    """

    values: NDArray[Any]
    unreadable: NDArray[np.bool_]


def read_cells(array: pa.Array, field: Field, column: Column, source: SourceMap) -> Cells:
    """One column of a source as the common column.

    Args:
        array: (rows,) the source's cells, of any type.
        field: how they are read.
        column: what they become.
        source: the rest of the source's habits: marks of missing cells, decimals, units.
    """
    if pa.types.is_dictionary(array.type):
        distinct = pa.concat_arrays([array.dictionary, pa.nulls(1, array.type.value_type)])
        each = read_cells(distinct, field, column, source)
        places = _places(array)
        return Cells(each.values[places], each.unreadable[places])
    array = blank_missing(array, (*source.missing, *field.missing))
    empty = _is_null(array)
    if column.kind == "text":
        return _read_texts(array, field, empty)
    if column.kind == "category" and not field.above:
        return _read_names(array, field, column, empty)
    numbers = _read_numbers(array, field, column, source)
    finite = np.isfinite(numbers)
    unreadable = ~finite & ~empty
    if column.kind == "category":
        codes = np.searchsorted(np.array(field.above), numbers).astype(np.int32)
        return Cells(np.where(finite, codes, np.int32(MISSING)), unreadable)
    return Cells(np.where(finite, numbers, np.nan), unreadable)


def blank_missing(array: pa.Array, marks: tuple[str, ...]) -> pa.Array:
    """Cells without blanks around them, null where they hold nothing or one of the marks."""
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if _is_text(array):
        array = pc.utf8_trim_whitespace(array.cast(pa.string()))
        nothing = pc.is_in(array, pa.array(["", *marks], pa.string()))
    elif marks and _is_number(array):
        numbers = [number for number in map(_number_or_none, marks) if number is not None]
        nothing = pc.is_in(array.cast(pa.float64(), safe=False), pa.array(numbers, pa.float64()))
    else:
        return array
    return pc.if_else(nothing, pa.scalar(None, array.type), array)


def to_text(array: pa.Array) -> pa.Array:
    """Cells as text; whole numbers without decimals, so that 1, 1.0 and "1" are one value."""
    if _is_text(array):
        return array.cast(pa.string())
    if pa.types.is_nested(array.type):
        import json

        values = [None if v is None else json.dumps(v, default=str) for v in array.to_pylist()]
        return pa.array(values, pa.string())
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        digits = [None if v is None else f"0x{v.hex()}" for v in array.to_pylist()]
        return pa.array(digits, pa.string())
    return array.cast(pa.string())


def _read_texts(array: pa.Array, field: Field, empty: NDArray[np.bool_]) -> Cells:
    text = to_text(array)
    encoded = text.dictionary_encode()
    distinct: list[Any] = encoded.dictionary.to_pylist()
    if field.pattern:
        distinct = _groups(encoded.dictionary, field).to_pylist()
    values = np.array(
        [None if one is None else field.codes.get(one, one) for one in distinct] + [None],
        dtype=object,
    )
    found = values[_places(encoded)]
    return Cells(found, np.array([each is None for each in found], dtype=bool) & ~empty)


def _read_names(array: pa.Array, field: Field, column: Column, empty: NDArray[np.bool_]) -> Cells:
    exact, folded = spelling_codes(column.names, field.spellings)
    encoded = to_text(array).dictionary_encode()
    distinct = encoded.dictionary
    if field.pattern:
        distinct = _groups(distinct, field)
    codes = []
    for text in distinct.to_pylist():
        name = field.codes.get(text, text)
        known = exact.get(name)
        codes.append(folded.get(fold(name or ""), MISSING) if known is None else known)
    found = np.array([*codes, MISSING], dtype=np.int32)[_places(encoded)]
    return Cells(found, (found == MISSING) & ~empty)


def _read_numbers(
    array: pa.Array, field: Field, column: Column, source: SourceMap
) -> NDArray[np.float64]:
    """(rows,) in the common column's unit; NaN where empty or unreadable."""
    decimal = field.decimal or source.decimal
    if field.date and not field.part:
        return read_dates(array, field)
    if field.date:
        numbers = read_dates(array, field)
    elif field.written_unit:
        return _read_sizes(to_text(array), field, column, decimal, source.units)
    elif field.table:
        table = {fold(text): float(number) for text, number in field.table.items()}
        numbers = _looked_up(to_text(array), table)
    elif field.pattern:
        encoded = to_text(array).dictionary_encode()
        groups = _groups(encoded.dictionary, field)
        if field.base == 10:
            distinct = parse_numbers(groups, decimal)
        else:
            distinct = _based(groups, field.base)
        numbers = np.append(distinct, np.nan)[_places(encoded)]
    elif _is_number(array):
        numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        numbers = parse_numbers(to_text(array), decimal)
    if (field.factor, field.offset) == (1.0, 0.0):
        return numbers
    return numbers * field.factor + field.offset if field.offset else numbers * field.factor


def encode_texts(array: pa.Array, columns: Sequence[tuple[Field, Column]]) -> pa.Array:
    """A column of texts as places among its distinct texts, unless its cells are plain numbers.

    Args:
        array: (rows,) the source's cells, of any type.
        columns: that it is read as.
    """
    plain = any(
        column.kind == "number"
        and not (field.date or field.written_unit or field.table or field.pattern)
        for field, column in columns
    )
    return array if plain or not _is_text(array) else array.dictionary_encode()


def parse_numbers(text: pa.Array, decimal: str = ".") -> NDArray[np.float64]:
    """(rows,) numbers that are written as text; NaN where none is, or not finite."""
    if decimal == ",":
        text = pc.replace_substring(text, ".", "")  # groups of thousands
    if decimal != ".":
        text = pc.replace_substring(text, ",", ".")
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:  # some are none
        readable = pc.match_substring_regex(text, NUMBER)
        values = pc.if_else(readable, text, pa.scalar(None, pa.string())).cast(pa.float64())
    numbers: NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    return numbers


def _read_sizes(
    text: pa.Array, field: Field, column: Column, decimal: str, units: tuple[str, ...]
) -> NDArray[np.float64]:
    """(rows,) numbers that are written with their unit."""
    encoded = text.dictionary_encode()
    distinct = encoded.dictionary
    if decimal == ",":
        distinct = pc.replace_substring(distinct, ".", "")
    if decimal != ".":
        distinct = pc.replace_substring(distinct, ",", ".")
    halves = pc.extract_regex(distinct, SIZE)
    numbers = parse_numbers(pc.struct_field(halves, "number"))
    written = pc.struct_field(halves, "unit").dictionary_encode()
    scale = [_written_scale(unit, field, column, units) for unit in written.dictionary.to_pylist()]
    factors, offsets = np.array([*scale, (np.nan, np.nan)]).T[:, _places(written)]
    return np.append(numbers * factors + offsets, np.nan)[_places(encoded)]


def _written_scale(
    unit: str, field: Field, column: Column, units: tuple[str, ...]
) -> tuple[float, float]:
    """Factor and offset from a unit in a cell to the column's; NaN if it is none."""
    if not unit:
        return (field.factor, field.offset) if field.unit else (np.nan, np.nan)
    registry = unit_registry(units)
    for spelling in (unit, unit.lower()):
        try:
            theirs = registry.Unit(spelling)
            at_zero, at_one = (
                float(registry.Quantity(n, theirs).to(column.unit).magnitude) for n in (0, 1)
            )
        except NO_UNIT:
            continue
        return at_one - at_zero, at_zero
    return np.nan, np.nan


def _looked_up(text: pa.Array, table: dict[str, float]) -> NDArray[np.float64]:
    encoded = text.dictionary_encode()
    distinct = [table.get(fold(each), np.nan) for each in encoded.dictionary.to_pylist()]
    return np.array([*distinct, np.nan])[_places(encoded)]


def _based(text: pa.Array, base: int) -> NDArray[np.float64]:
    """Whole numbers to that base, such as the hexadecimal levels of a colour."""
    encoded = text.dictionary_encode()
    numbers = [_whole(each, base) for each in encoded.dictionary.to_pylist()]
    return np.array([*numbers, np.nan])[_places(encoded)]


def _whole(text: str, base: int) -> float:
    try:
        return float(int(text, base))
    except ValueError:
        return float("nan")


def _groups(text: pa.Array, field: Field) -> pa.Array:
    """What the pattern's group holds; null where the pattern does not match the whole text."""
    import re

    named = re.sub(r"(?<!\\)\((?!\?)", "(?P<read>", field.pattern, count=1)
    return pc.struct_field(pc.extract_regex(text, f"^(?:{named})$"), "read")


def _places(encoded: pa.DictionaryArray) -> NDArray[np.int64]:
    """(rows,) place among the distinct values; -1, the one after them, where null."""
    places: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return places


def _is_null(array: pa.Array) -> NDArray[np.bool_]:
    nulls: NDArray[np.bool_] = pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False)
    return nulls


def _is_text(array: pa.Array) -> bool:
    kind = array.type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_number(array: pa.Array) -> bool:
    kind = array.type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _number_or_none(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
