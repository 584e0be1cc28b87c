"""What transformation found in the training rows: enough to make inputs of any rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.transform.discretise import Bins
from labkit.preprocess.transform.encode import Encode
from labkit.preprocess.transform.generalise import Lift
from labkit.preprocess.transform.scale import Scale, read_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of one column: it is scaled; or it is lifted or cut, and then encoded.

    Attributes:
        column: that is read.
        lift, bins: what makes categories of it, at most one of them.
        scale: where it stays a number.
        encode: where it is, or became, a category.
    """

    column: str
    lift: Lift | None = None
    bins: Bins | None = None
    scale: Scale | None = None
    encode: Encode | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs that the column becomes."""
        return (self.column,) if self.encode is None else self.encode.names_of(self.column)

    def codes(self, frame: pd.DataFrame) -> NDArray[np.int32]:
        """(rows,) categories that the column holds, or that were made of its values."""
        return read_codes(frame, self.column, self.lift, self.bins)

    def write(self, frame: pd.DataFrame, inputs: NDArray[np.float32]) -> None:
        """Fill ``inputs`` (rows, number of names)."""
        if self.encode is not None:
            self.encode.write(self.codes(frame), inputs)
        elif self.scale is not None:
            inputs[:, 0] = self.scale.apply(read_numbers(frame, self.column))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rule:
        """The rule that ``to_dict`` wrote."""
        kinds: dict[str, type[Any]] = {
            "lift": Lift, "bins": Bins, "scale": Scale, "encode": Encode
        }  # fmt: skip
        read = {
            name: kind(**{key: _tuple(value) for key, value in values[name].items()})
            for name, kind in kinds.items()
            if name in values
        }
        return cls(column=values["column"], **read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """The rules of all columns, in the order of the inputs.

    Attributes:
        rules: one a column.
        label: column that is carried along unchanged; empty for none.
        dropped: by column, why it is no input.
    """

    rules: tuple[Rule, ...]
    label: str = ""
    dropped: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs, in order."""
        return tuple(name for rule in self.rules for name in rule.names)

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The inputs as float32, without gaps; key and label come along where the frame has them.

        Categories that the training rows did not hold, and gaps, are handled as ``Encode``,
        ``Bins`` and ``Scale`` say; ``count`` tells how many there are.

        Raises:
            SourceError: a column that the inputs are made of is not there.
        """
        absent = [rule.column for rule in self.rules if rule.column not in frame]
        if absent:
            raise SourceError(
                f"the rows lack {', '.join(absent)}, which the inputs are made of; give all of "
                f"{', '.join(rule.column for rule in self.rules)}"
            )
        names = self.names
        inputs = np.empty((len(frame), len(names)), dtype=np.float32, order="F")
        start = 0
        for rule in self.rules:
            stop = start + len(rule.names)
            rule.write(frame, inputs[:, start:stop])
            start = stop
        made = pd.DataFrame(inputs, columns=list(names), copy=False)
        for place, column in enumerate((KEY, self.label)):
            if column and column in frame:
                made.insert(min(place, len(made.columns)), column, frame[column].to_numpy())
        return made

    def count(self, frame: pd.DataFrame) -> dict[str, dict[str, int]]:
        """Rows that were not as the training rows, by column; columns without any are left out.

        Returns:
            ``unseen``: categories not seen in training; ``beyond``: numbers outside the training
            rows' range; ``missing``: gaps.
        """
        found: dict[str, dict[str, int]] = {"unseen": {}, "beyond": {}, "missing": {}}
        for rule in self.rules:
            if rule.encode is not None:
                codes = rule.codes(frame)
                found["unseen"][rule.column] = rule.encode.count_unseen(codes)
                found["missing"][rule.column] = int((codes < 0).sum())
            elif rule.scale is not None:
                values = read_numbers(frame, rule.column)
                found["beyond"][rule.column] = rule.scale.count_beyond(values)
                found["missing"][rule.column] = int(np.isnan(values).sum())
        return {
            what: {column: number for column, number in counts.items() if number}
            for what, counts in found.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "rules": [rule.to_dict() for rule in self.rules],
            "label": self.label,
            "dropped": dict(self.dropped),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Transformation:
        """The transformation that ``to_dict`` wrote."""
        return cls(
            rules=tuple(Rule.from_dict(each) for each in values["rules"]),
            label=values["label"],
            dropped=dict(values["dropped"]),
        )

    def schema_after(self, schema: Schema) -> Schema:
        """The columns that ``apply`` makes."""
        made = [Column(name=name) for name in self.names]
        if self.label:
            made.append(schema.column(self.label))
        return Schema(columns=tuple(made), label=self.label)


def read_codes(
    frame: pd.DataFrame, column: str, lift: Lift | None, bins: Bins | None
) -> NDArray[np.int32]:
    """(rows,) categories of a column; numbers become such by intervals or bins."""
    if bins is not None:
        return bins.codes(read_numbers(frame, column))
    if lift is not None:
        return lift.codes(read_numbers(frame, column) if lift.edges else frame[column].to_numpy())
    codes: NDArray[np.int32] = frame[column].to_numpy(dtype=np.int32)
    return codes


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
