"""Which column of each source becomes which common column, how it is read and in what unit.

A new source of a known kind of file is a new entry here; no code changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from labkit.preprocess.schema import KEY


@dataclass(frozen=True, slots=True)
class Field:
    """How one common column is made from a source's column.

    Attributes:
        column: name in the source.
        read: how a cell is read, a key of ``cells.READS``.
        factor: multiplies the source's unit into ours.
    """

    column: str
    read: str = "number"
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMap:
    """One source: its kind of file, its place among the sources, and its columns.

    Attributes:
        name: as in the report.
        priority: 0 is believed first where sources differ.
        fields: by common column; a column that the source lacks is left out, and missing.
        tables: SQLite only: tables and the columns that they must have.
        query: SQLite only: the rows, code tables resolved, for rowids above ? up to ?.
    """

    name: str
    priority: int
    fields: Mapping[str, Field]
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: str = ""

    @property
    def columns(self) -> list[str]:
        """The source's columns that are read, without repeats."""
        return list(dict.fromkeys(each.column for each in self.fields.values()))


SOURCE_MAPS: Mapping[str, SourceMap] = MappingProxyType(
    {
        "parquet": SourceMap(
            name="orchard",
            priority=0,
            fields={
                KEY: Field("FruitID"),
                "fruit": Field("kind", "fruit"),
                "diameter_cm": Field("diameter_mm", factor=0.1),
                "weight_g": Field("weight_g"),
                "red": Field("colour", "hex_red"),
                "green": Field("colour", "hex_green"),
                "blue": Field("colour", "hex_blue"),
                "sweetness_brix": Field("brix"),
                "price_eur": Field("price_eur"),
                "batch_no": Field("batch"),
                "harvest_year": Field("season"),
                "city": Field("origin", "city"),
            },
        ),
        "sqlite": SourceMap(
            name="market",
            priority=1,
            fields={
                KEY: Field("fid"),
                "fruit": Field("class", "fruit"),
                "diameter_cm": Field("size_in", factor=2.54),
                "weight_g": Field("mass_lb", factor=453.59237),
                "red": Field("red"),
                "green": Field("green"),
                "blue": Field("blue"),
                "sweetness_brix": Field("brix"),
                "price_eur": Field("price_usd", factor=1 / 1.08),
                "batch_no": Field("lot"),
                "harvest_year": Field("year"),
                "city": Field("city", "city"),
            },
            tables={
                "fruit": (
                    *("fid", "class_no", "size_in", "mass_lb", "red", "green", "blue"),
                    *("brix", "price_usd", "lot", "year", "city_no"),
                ),
                "class": ("no", "name"),
                "city": ("no", "name"),
            },
            query=(
                "SELECT fid, class.name AS class, size_in, mass_lb, red, green, blue, brix, "
                "price_usd, lot, year, city.name AS city FROM fruit "
                "LEFT JOIN class ON class.no = class_no LEFT JOIN city ON city.no = city_no "
                "WHERE fruit.rowid > ? AND fruit.rowid <= ? ORDER BY fruit.rowid"
            ),
        ),
        "csv": SourceMap(
            name="questionnaire",
            priority=2,
            fields={
                KEY: Field("Respondent"),
                "fruit": Field("What fruit is it?", "fruit"),
                "diameter_cm": Field("How big is it?", "size_cm"),
                "weight_g": Field("Weight (kg)", factor=1000.0),
                "red": Field("Which colour?", "word_red"),
                "green": Field("Which colour?", "word_green"),
                "blue": Field("Which colour?", "word_blue"),
                "sweetness_brix": Field("Sweetness (Brix)"),
                "price_eur": Field("Price (EUR)"),
                "harvest_year": Field("Which year?"),
                "city": Field("Where from?", "city"),
            },
        ),
    }
)
