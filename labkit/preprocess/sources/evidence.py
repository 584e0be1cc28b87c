"""What the cells of a column that nobody described look like, gathered batch by batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labkit.preprocess.sources.cells import NUMBER, to_text

# What people write where they know nothing; the second only where the rest are numbers or dates.
MARKS = ("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null")
NUMBER_MARKS = (*MARKS, "None", "none", "-", ".", "?")
COMMA_NUMBER = r"^[+-]?\d+(?:,\d+)?$"
ISO_DATE = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"
FEW_NAMES = 64
MOST_NAMES = 1000  # of a label, which is a category however many classes it has


@dataclass(slots=True)
class Evidence:
    """What is known of one column so far.

    Attributes:
        cells: that hold something.
        numbers, comma_numbers, dates, flags: how many of them can be read so.
        groups_of_three: numbers that may as well have commas between thousands.
        marks: of missing cells, as they were found.
        names: distinct cells as text, ``None`` once there are too many.
    """

    cells: int = 0
    numbers: int = 0
    comma_numbers: int = 0
    groups_of_three: int = 0
    commas: int = 0
    dates: int = 0
    flags: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    names: set[str] | None = field(default_factory=set)

    def add(self, array: pa.Array) -> None:
        """Take in more cells."""
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind = array.type
        held = len(array) - array.null_count
        text = to_text(array)
        if pa.types.is_boolean(kind):
            self.flags += held
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            self.numbers += held
            self.comma_numbers += held
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            self.dates += held
        else:
            held, text = self._add_text(text)
        self.cells += held
        self._add_names(text)

    def _add_text(self, text: pa.Array) -> tuple[int, pa.Array]:
        text = pc.utf8_trim_whitespace(text)
        text = text.filter(pc.and_kleene(pc.is_valid(text), pc.not_equal(text, "")))
        marked = pc.is_in(text, pa.array(NUMBER_MARKS))
        for mark in text.filter(marked).value_counts():
            name = mark["values"].as_py()
            self.marks[name] = self.marks.get(name, 0) + mark["counts"].as_py()
        text = text.filter(pc.invert(marked))
        self.numbers += _matches(text, NUMBER)
        self.comma_numbers += _matches(text, COMMA_NUMBER)
        self.groups_of_three += _matches(text, r"^[+-]?\d{1,3},\d{3}$")
        self.commas += _matches(text, r"^[+-]?\d+,\d+$")
        self.dates += _matches(text, ISO_DATE)
        return len(text), text

    def _add_names(self, text: pa.Array) -> None:
        if self.names is not None:
            self.names |= set(text.drop_null().unique().to_pylist())
            if len(self.names) > MOST_NAMES:
                self.names = None

    @property
    def is_number(self) -> bool:
        """Whether every cell is a number; so is a column that holds nothing."""
        return self.numbers == self.cells or self.has_comma

    @property
    def has_comma(self) -> bool:
        """Whether every cell is a number with a comma before its decimals."""
        clear = self.commas > self.groups_of_three
        return self.numbers < self.cells == self.comma_numbers and clear

    @property
    def is_date(self) -> bool:
        """Whether every cell is a date or time as ISO 8601 writes it."""
        return 0 < self.cells == self.dates

    @property
    def has_few_names(self) -> bool:
        """Whether few texts stand in many cells."""
        names = self._all_names(MARKS)
        return names is not None and len(names) <= min(FEW_NAMES, max(self.cells // 2, 2))

    def category_names(self) -> list[str] | None:
        """The distinct cells in order, numbers by size; ``None`` if there are too many."""
        names = self._all_names(MARKS)
        if names is None:
            return None
        if all(re.match(NUMBER, name) for name in names):
            return sorted(names, key=lambda name: (float(name), name))
        return sorted(names)

    def missing_marks(self, *, of_numbers: bool) -> list[str]:
        """The marks that were found, as far as they mean that a cell of that kind is missing."""
        return sorted(set(self.marks) & set(NUMBER_MARKS if of_numbers else MARKS))

    def _all_names(self, without: tuple[str, ...]) -> set[str] | None:
        return None if self.names is None else self.names | (self.marks.keys() - set(without))


def _matches(text: pa.Array, pattern: str) -> int:
    found: Any = pc.sum(pc.match_substring_regex(text, pattern)).as_py()
    return found or 0
