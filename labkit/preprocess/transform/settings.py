"""What transformation is told: how numbers are scaled or cut, how names are lifted and coded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

from labkit.errors import SettingError
from labkit.preprocess.step import read_settings

Scaling = Literal["standard", "min_max", "robust", "none"]
Method = Literal["equal_width", "equal_frequency", "entropy"]
Coding = Literal["one_hot", "code"]

MAX_NAMES = 32  # of a category that is coded one_hot
DEFAULT_BINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Discretise:
    """How one number column is cut into bins.

    Attributes:
        method: ``equal_width``; ``equal_frequency``: by exact quantiles of the training rows;
            ``entropy``: where the cuts tell the classes apart best, as long as they pay for
            themselves (Fayyad & Irani 1993).
        bins: how many, >= 2; 0 takes 5, or for ``entropy`` as many as pay for themselves.
        names: of the bins, rising; empty names them by their ends. Not for ``entropy``, which
            finds how many there are.
        output: ``code``, one column with 0, 1, ... ; or ``one_hot``, a column of 0 and 1 a bin.
    """

    method: Method = "equal_width"
    bins: int = 0
    names: tuple[str, ...] = ()
    output: Coding = "code"

    def __post_init__(self) -> None:
        _choose("method", self.method, get_args(Method))
        _choose("output", self.output, get_args(Coding))
        object.__setattr__(self, "names", tuple(self.names))
        if self.method == "entropy" and self.names:
            raise SettingError(
                f"method entropy finds how many bins there are, so names {list(self.names)} cannot "
                "be given; leave them out, or choose equal_width or equal_frequency"
            )
        if not isinstance(self.bins, int) or self.bins < 0 or self.bins == 1:
            raise SettingError(f"bins={self.bins!r}; choose a whole number >= 2")
        if self.names and self.bins not in (0, len(self.names)):
            raise SettingError(f"bins={self.bins} but {len(self.names)} names; give one a bin")
        if len(set(self.names)) != len(self.names) or len(self.names) == 1:
            raise SettingError(f"names {list(self.names)}; give at least two, each once")

    @property
    def num_bins(self) -> int:
        """Bins that are asked for."""
        return self.bins or len(self.names) or DEFAULT_BINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Generalise:
    """How one column is replaced by a more general concept.

    Attributes:
        hierarchy: as rows from the special to the general, ``[["Faro", "Algarve", "Portugal"]]``,
            or as a table of what is directly above, ``{Faro = "Algarve", Algarve = "Portugal"}``
            (a list names several levels at once).
        level: how far up: one of ``levels``, or a number of steps >= 0.
        levels: names of the levels, ``["city", "province", "country"]``; may be left out.
        edges: of a number column: rising ends of the intervals, one fewer than ``names``.
        names: of a number column: what its intervals are called, the lowest level of the hierarchy.
    """

    hierarchy: Any = ()
    level: str | int = 1
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("levels", "edges", "names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.edges and not all(map(math.isfinite, self.edges)):
            raise SettingError(f"edges {list(self.edges)} must be finite numbers")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise SettingError(f"edges {list(self.edges)} must rise")
        if bool(self.names) != bool(self.edges) or (
            self.edges and len(self.names) != len(self.edges) + 1
        ):
            raise SettingError(
                f"{len(self.edges)} edges make {len(self.edges) + 1} intervals but there are "
                f"{len(self.names)} names; give one name an interval"
            )
        if self.steps < 0:
            raise SettingError(f"level={self.level}; choose a number of steps >= 0")
        if not self.hierarchy and not self.edges:
            raise SettingError("there is no hierarchy; give rows or a table of what lies above")
        if not self.hierarchy and self.steps:
            object.__setattr__(self, "level", 0)

    @property
    def steps(self) -> int:
        """How far up, counted from the values of the column."""
        if isinstance(self.level, int):
            return self.level
        if self.level not in self.levels:
            raise SettingError(
                f"level {self.level!r} is unknown; choose from {', '.join(self.levels)}"
                if self.levels
                else f"level {self.level!r} is a name, but levels names none; give levels"
            )
        return self.levels.index(self.level)

    def above(self, name: str) -> str | None:
        """What ``name`` becomes; ``None`` where the hierarchy does not place it."""
        if not self.steps:
            return name
        if isinstance(self.hierarchy, Mapping):
            return _climb(self.hierarchy, name, self.steps)
        for row in self.hierarchy:
            if row[0] == name and len(row) > self.steps:
                return str(row[self.steps])
        return None


def _climb(table: Mapping[str, str | Sequence[str]], name: str, steps: int) -> str | None:
    while steps:
        parents = table.get(name)
        if parents is None:
            return None
        chain = [parents] if isinstance(parents, str) else list(parents)
        if not chain:
            return None
        taken = min(steps, len(chain))
        name, steps = str(chain[taken - 1]), steps - taken
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformationSettings:
    """How columns become the inputs of a model; the defaults suit any data.

    Attributes:
        scale: of number columns: ``standard`` (mean 0, deviation 1), ``min_max`` (0 to 1),
            ``robust`` (median 0, quartiles 1 apart) or ``none``.
        scale_columns: another scaling for some columns, by name.
        generalise: by column, see ``Generalise``; done first.
        discretise: by column, see ``Discretise``.
        encode: of categories that reach the end: ``one_hot``, a column of 0 and 1 for each name
            that the training rows hold, or ``code``, one column with the number of the name.
        encode_columns: another coding for some columns, by name.
    """

    scale: Scaling = "standard"
    scale_columns: Mapping[str, Scaling] = field(default_factory=dict)
    generalise: Mapping[str, Any] = field(default_factory=dict)
    discretise: Mapping[str, Any] = field(default_factory=dict)
    encode: Coding = "one_hot"
    encode_columns: Mapping[str, Coding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _choose("scale", self.scale, get_args(Scaling))
        _choose("encode", self.encode, get_args(Coding))
        for column, scaling in self.scale_columns.items():
            _choose(f"scale_columns.{column}", scaling, get_args(Scaling))
        for column, coding in self.encode_columns.items():
            _choose(f"encode_columns.{column}", coding, get_args(Coding))
        for name, cls in (("generalise", Generalise), ("discretise", Discretise)):
            read = {
                column: _read(cls, values, f"[transformation.{name}.{column}]")
                for column, values in getattr(self, name).items()
            }
            object.__setattr__(self, name, read)
        both = sorted(set(self.generalise) & set(self.discretise))
        if both:
            raise SettingError(
                f"{', '.join(both)} would be both generalised and discretised; choose one"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a setting names."""
        named = (self.scale_columns, self.generalise, self.discretise, self.encode_columns)
        return tuple(dict.fromkeys(column for each in named for column in each))


def _read(cls: type[Any], values: Any, where: str) -> Any:
    if isinstance(values, cls):
        return values
    try:
        return read_settings(cls, values, where)
    except SettingError as error:
        message = str(error)
        raise SettingError(
            message if message.startswith(where) else f"{where}: {message}"
        ) from error


def _choose(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingError(f"{name} {value!r} is unknown; choose from {', '.join(choices)}")
