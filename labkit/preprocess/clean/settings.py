"""What cleaning is told: one method for all columns, and exceptions by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from labkit.errors import SettingError
from labkit.preprocess.clean.expressions import names_in

Fill = Literal[
    "mean", "median", "mode", "group_mean", "group_median", "constant", "related", "none"
]
Outliers = Literal["auto", "tukey", "log_tukey", "robust_z", "none"]
AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnCleaning:
    """Where one column differs from the settings for all; ``None`` keeps those.

    Attributes:
        fill: how gaps are filled, see ``CleaningSettings``.
        constant: what ``fill = "constant"`` puts in: a number, or the name of a category.
        group: category column of ``group_mean`` and ``group_median``.
        outliers, factor, threshold: how noise is found.
        sentinels: numbers that stand for "missing", or ``"auto"``.
        unit_slips: factors by which this column is at times wrong, such as 10 or 1000.
        least, greatest: a number beyond is wrong, whatever the others are.
    """

    fill: Fill | None = None
    constant: float | str | None = None
    group: str | None = None
    outliers: Outliers | None = None
    factor: float | None = None
    threshold: float | None = None
    sentinels: tuple[float, ...] | str | None = None
    unit_slips: tuple[float, ...] | None = None
    least: float | None = None
    greatest: float | None = None

    def __post_init__(self) -> None:
        _check_methods(self)
        if self.fill == "constant" and self.constant is None:
            raise SettingError('fill = "constant" needs a constant; give constant = VALUE as well')
        if self.least is not None and self.greatest is not None and self.least > self.greatest:
            raise SettingError(
                f"least {self.least} is above greatest {self.greatest}; exchange them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What must hold between columns; where it does not, the blamed columns' values are wrong.

    Attributes:
        expression: of number columns, such as ``"weight_g / diameter_cm ** 3"``.
        least, greatest: of the expression, at least one of them.
        blame: columns that become missing; empty: every column of the expression.
    """

    expression: str
    least: float | None = None
    greatest: float | None = None
    blame: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = names_in(self.expression)
        if self.least is None and self.greatest is None:
            raise SettingError(
                f"rule {self.expression!r} has no bound; give least, greatest or both"
            )
        strangers = [name for name in self.blame if name not in names]
        if strangers:
            raise SettingError(
                f"rule {self.expression!r} blames {', '.join(strangers)}; choose from "
                f"{', '.join(names)}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the expression."""
        return names_in(self.expression)

    @property
    def blamed(self) -> tuple[str, ...]:
        """The columns that become missing."""
        return self.blame or names_in(self.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Two positive columns of which one is about proportional to a power of the other.

    The ratio ``first / second ** power`` varies little, so it shows an error in either column that
    each column alone would hide, and it predicts one column from the other.

    Attributes:
        columns: the first and the second.
        power: of the second.
    """

    columns: tuple[str, str]
    power: float = 1.0

    def __post_init__(self) -> None:
        if len(self.columns) != 2 or self.columns[0] == self.columns[1] or not self.power:
            raise SettingError(
                f"related columns {self.columns} with power {self.power}: give two different "
                "columns and a power other than 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningSettings:
    """How wrong and missing values are found and repaired.

    Attributes:
        fill: of numbers: ``mean``, ``median``, ``mode``, ``group_mean``, ``group_median``,
            ``related`` (from the related column, else the median) or ``none``. Filling by the
            label's groups gives the label away in the training rows: a model learns to read it
            there, and finds nothing in new rows.
        fill_categories: of categories other than the label: ``mode`` or ``none``.
        group: category column whose groups are filled apart; empty for the label. Test rows are
            filled by the value over all when the group is the label, as theirs is not looked at.
        outliers: ``tukey`` fences on the plain scale, ``log_tukey`` on a logarithmic one,
            ``robust_z`` (distance from the median in robust standard deviations), ``none``, or
            ``auto``: Tukey's, on the scale on which the column is more even, and none for a column
            of which more than ``most`` would be taken for noise: that is its tail.
        factor: of Tukey's fences, in interquartile ranges; 3 are his far fences, about 4.7
            standard deviations of a normal column.
        threshold: of ``robust_z``, in standard deviations.
        most: share of a column's values that ``auto`` takes for noise at most; sentinels, unit
            slips and, where there is evidence, values of other classes do not count.
        sentinels: numbers that stand for "missing", or ``auto``: values far outside the fences
            that repeat far more often than their neighbours.
        unit_slips: factors by which any column is at times wrong; better given by column.
        columns: exceptions by column.
        rules: bounds of expressions between columns.
        related: pairs of columns that vary together.
        evidence: columns that show a row's class. A training row is relabelled when they speak for
            exactly one other class, by ``odds`` or more against its own. Empty: labels are kept.
        odds: how many times likelier the other class must be.

    Source: Tukey 1977, Exploratory Data Analysis, section 2E; Iglewicz & Hoaglin 1993, How to
    detect and handle outliers.
    """

    fill: Fill = "median"
    fill_categories: Literal["mode", "none"] = "mode"
    group: str = ""
    outliers: Outliers = "auto"
    factor: float = 3.0
    threshold: float = 5.0
    most: float = 0.01
    sentinels: tuple[float, ...] | str = AUTO
    unit_slips: tuple[float, ...] = ()
    columns: Mapping[str, ColumnCleaning] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    related: tuple[Related, ...] = ()
    evidence: tuple[str, ...] = ()
    odds: float = 1000.0

    def __post_init__(self) -> None:
        _check_methods(self)
        if self.fill == "constant":
            raise SettingError(
                'fill = "constant" is for single columns; put it in [cleaning.columns.NAME]'
            )
        _check_choice("fill_categories", self.fill_categories, ("mode", "none"))
        if not 0 < self.most <= 1:
            raise SettingError(f"most is a share of the values, not {self.most}; use 0.01")
        if not self.odds > 1:
            raise SettingError(f"odds must be above 1, not {self.odds}; use 1000")
        exceptions = {
            name: _read(ColumnCleaning, each, f"[cleaning.columns.{name}]")
            for name, each in self.columns.items()
        }
        object.__setattr__(self, "columns", exceptions)
        for name, cls in (("rules", Rule), ("related", Related)):
            read = tuple(_read(cls, each, f"[cleaning] {name}") for each in getattr(self, name))
            object.__setattr__(self, name, read)

    def of(self, column: str, name: str) -> Any:
        """A setting of one column: its own where it has one, else that for all."""
        own = getattr(self.columns.get(column), name, None)
        return getattr(self, name) if own is None else own


def _check_methods(settings: CleaningSettings | ColumnCleaning) -> None:
    """What both kinds of settings share; ``None`` stands for "as for all"."""
    if settings.fill is not None:
        _check_choice("fill", settings.fill, get_args(Fill))
    if settings.outliers is not None:
        _check_choice("outliers", settings.outliers, get_args(Outliers))
    for name, usual in (("factor", 3), ("threshold", 5)):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise SettingError(f"{name} must be above 0, not {value}; use {usual}")
    if isinstance(settings.sentinels, str) and settings.sentinels != AUTO:
        raise SettingError(
            f'sentinels = {settings.sentinels!r}; give a list of numbers, or "{AUTO}"'
        )
    for slip in settings.unit_slips or ():
        if not slip > 1:
            raise SettingError(
                f"unit slip {slip} must be above 1, both slip and 1 / slip are tried; use 10"
            )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(f"{name} = {value!r}; choose from {', '.join(choices)}")


def _read(cls: type[Any], values: Any, where: str) -> Any:
    """Settings from plain values; those that are there already are kept."""
    if isinstance(values, cls):
        return values
    known = [each.name for each in fields(cls)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise SettingError(
            f"{where} has no setting {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(known)}"
        )
    frozen = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    try:
        return cls(**frozen)
    except TypeError as error:
        raise SettingError(f"{where} cannot be read: {error}") from error
