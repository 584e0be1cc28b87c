"""What cleaning found in the training rows, and how it is applied to any rows.

In this order: sentinels become missing; wrong labels of training rows are put right; a value
outside its class's fences is divided or multiplied by a unit slip if that brings it well inside,
else it becomes missing; so does one that breaks a relation or a rule between columns; gaps are
filled.

Test rows are treated as new data will be: their label is not looked at and not changed, so only a
value outside every class's fences is wrong, and gaps are filled by the value over all classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean import expressions
from labkit.preprocess.clean.fences import Fences
from labkit.preprocess.clean.kinds import FILLED, KEPT, LABEL, NOISE, RULE, SENTINEL, SLIP
from labkit.preprocess.clean.labels import grouped, right_labels, suspects
from labkit.preprocess.clean.missing import Fill
from labkit.preprocess.clean.related import Pair, predicted, repair_pair
from labkit.preprocess.clean.settings import Related, Rule
from labkit.preprocess.clean.slips import corrected
from labkit.preprocess.schema import KEY, MISSING, column_values
from labkit.preprocess.split import is_test

Values = dict[str, NDArray[np.float64]]
Kinds = dict[str, NDArray[np.int8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What is believed of one number column.

    Attributes:
        fences: by class, infinite where noise is not looked for.
        scale: medians and spreads by class, for what the column says about a row's class.
        sentinels: numbers that stand for "missing".
        slips: factors by which it is at times wrong.
        least, greatest: bounds whatever the class.
    """

    fences: Fences
    scale: Fences
    sentinels: tuple[float, ...] = ()
    slips: tuple[float, ...] = ()
    least: float = -math.inf
    greatest: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningRules:
    """What cleaning found; ``apply`` cleans any rows that have the same columns.

    Attributes:
        label: the class column; empty for none, or where its classes are not told apart.
        columns: rules of the number columns.
        rules: bounds of expressions.
        pairs: columns that vary together.
        evidence: columns that show the class; empty: labels are kept.
        odds: see ``CleaningSettings``.
        fills: what is put into the gaps, by column; a column without any value has none.
    """

    label: str
    columns: Mapping[str, ColumnRule]
    rules: tuple[Rule, ...] = ()
    pairs: tuple[Pair, ...] = ()
    evidence: tuple[str, ...] = ()
    odds: float = 1000.0
    fills: Mapping[str, Fill]

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows as they are after cleaning, in the same order; the frame is not changed."""
        return self.repair(frame)[0]

    def repair(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, Kinds]:
        """The cleaned rows, and by column what was done to each row, (rows,) codes of ``kinds``."""
        values = {name: column_values(frame, name).copy() for name in self.columns}
        kinds = {name: np.full(len(frame), KEPT, dtype=np.int8) for name in self.columns}
        for name, rule in self.columns.items():
            for sentinel in rule.sentinels:
                kinds[name][values[name] == sentinel] = SENTINEL
            values[name][kinds[name] == SENTINEL] = np.nan
        after = frame.copy(deep=False)
        own = np.full(len(frame), MISSING, dtype=np.int32)
        if self.label:
            label = frame[self.label].to_numpy()
            train = ~is_test(frame[KEY].to_numpy())
            own[train] = label[train]
            right = self._right_labels(values, own)
            kinds[self.label] = np.where(right != own, LABEL, KEPT).astype(np.int8)
            after[self.label] = np.where(train, right, label).astype(label.dtype)
            own = right
        for name in self.columns:
            self._repair_column(name, values[name], kinds[name], own)
        fences = {name: rule.fences for name, rule in self.columns.items()}
        slips = {name: rule.slips for name, rule in self.columns.items()}
        for pair in self.pairs:
            repair_pair(values, kinds, own, pair, fences, slips)
        self._check_rules(values, kinds)
        self._fill(after, values, kinds, own)
        return after, kinds

    def _right_labels(self, values: Values, own: NDArray[np.int32]) -> NDArray[np.int32]:
        """(rows,) labels after the evidence has been heard; ``MISSING`` stays."""
        if not self.evidence:
            return own
        scales = {name: self.columns[name].scale for name in self.evidence}
        evidence = {name: values[name] for name in self.evidence}
        rows = suspects(evidence, scales, own)
        unknown = np.full(len(rows), MISSING, dtype=np.int32)
        heard: Values = {}
        for name in self.evidence:
            heard[name] = values[name][rows]
            self._repair_column(name, heard[name], np.zeros(len(rows), dtype=np.int8), unknown)
        groups = grouped(self.evidence, [pair.relation.columns for pair in self.pairs])
        right = own.copy()
        right[rows] = right_labels(
            [[heard[name] for name in group] for group in groups],
            [[scales[name] for name in group] for group in groups],
            own[rows],
            math.log(self.odds),
        )
        return right

    def _repair_column(
        self,
        name: str,
        values: NDArray[np.float64],
        kinds: NDArray[np.int8],
        own: NDArray[np.int32],
    ) -> None:
        """Put right or remove what lies outside the fences or bounds; both arrays are changed."""
        rule = self.columns[name]
        inside = rule.fences.believed(values, own)
        bounded = (values >= rule.least) & (values <= rule.greatest)
        rows = np.flatnonzero(~np.isnan(values) & ~(inside & bounded & np.isfinite(values)))
        if not len(rows):
            return
        some, label = values[rows], own[rows]

        def fits(new: NDArray[np.float64]) -> NDArray[np.bool_]:
            near = rule.fences.believed(new, label, near=True)
            return near & (new >= rule.least) & (new <= rule.greatest) & np.isfinite(new)

        new = corrected(some, rule.slips, fits)
        values[rows] = new
        kinds[rows] = np.where(~np.isnan(new), SLIP, np.where(bounded[rows], NOISE, RULE))

    def _check_rules(self, values: Values, kinds: Kinds) -> None:
        for rule in self.rules:
            result = expressions.evaluate(rule.expression, values)
            broken = np.zeros(len(result), dtype=bool)
            if rule.least is not None:
                broken |= result < rule.least
            if rule.greatest is not None:
                broken |= result > rule.greatest
            for name in rule.blamed:
                kinds[name][broken & ~np.isnan(values[name])] = RULE
                values[name][broken] = np.nan

    def _fill(
        self, after: pd.DataFrame, values: Values, kinds: Kinds, own: NDArray[np.int32]
    ) -> None:
        """Fill the gaps; a value that was removed keeps the kind of its error."""
        before = {
            name: values[name].copy() for pair in self.pairs for name in pair.relation.columns
        }
        for name, fill in self.fills.items():
            category = name not in values
            if category:
                codes = after[name].to_numpy()
                gaps = codes == MISSING
                kinds[name] = np.where(gaps, FILLED, KEPT).astype(np.int8)
                if gaps.any():
                    filled = np.where(gaps, fill.at(after, own), codes)
                    after[name] = filled.astype(codes.dtype)
                continue
            gaps = np.flatnonzero(np.isnan(values[name]))
            if not len(gaps):
                continue
            best = fill.at(after, own)[gaps]
            if fill.method == "related":
                for pair in self.pairs:
                    if name in pair.relation.columns:
                        known = {each: before[each][gaps] for each in pair.relation.columns}
                        guess = predicted(known, own[gaps], pair, name)
                        best = np.where(np.isnan(guess), best, guess)
            values[name][gaps] = best
            kinds[name][gaps[kinds[name][gaps] == KEPT]] = FILLED
        for name, column in values.items():
            after[name] = column

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "label": self.label,
            "columns": {
                name: {
                    "fences": rule.fences.to_dict(),
                    "scale": rule.scale.to_dict(),
                    "sentinels": list(rule.sentinels),
                    "slips": list(rule.slips),
                    "least": rule.least if math.isfinite(rule.least) else None,
                    "greatest": rule.greatest if math.isfinite(rule.greatest) else None,
                }
                for name, rule in self.columns.items()
            },
            "rules": [{**asdict(rule), "blame": list(rule.blame)} for rule in self.rules],
            "pairs": [
                {
                    "columns": list(pair.relation.columns),
                    "power": pair.relation.power,
                    "ratio": pair.ratio.to_dict(),
                }
                for pair in self.pairs
            ],
            "evidence": list(self.evidence),
            "odds": self.odds,
            "fills": {name: fill.to_dict() for name, fill in self.fills.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CleaningRules:
        """The rules that ``to_dict`` wrote."""
        return cls(
            label=values["label"],
            columns={name: _column(each) for name, each in values["columns"].items()},
            rules=tuple(
                Rule(**{**each, "blame": tuple(each["blame"])}) for each in values["rules"]
            ),
            pairs=tuple(
                Pair(
                    relation=Related(columns=tuple(each["columns"]), power=each["power"]),
                    ratio=Fences.from_dict(each["ratio"]),
                )
                for each in values["pairs"]
            ),
            evidence=tuple(values["evidence"]),
            odds=values["odds"],
            fills={name: Fill.from_dict(each) for name, each in values["fills"].items()},
        )


def _column(values: Mapping[str, Any]) -> ColumnRule:
    return ColumnRule(
        fences=Fences.from_dict(values["fences"]),
        scale=Fences.from_dict(values["scale"]),
        sentinels=tuple(values["sentinels"]),
        slips=tuple(values["slips"]),
        least=-math.inf if values["least"] is None else values["least"],
        greatest=math.inf if values["greatest"] is None else values["greatest"],
    )
