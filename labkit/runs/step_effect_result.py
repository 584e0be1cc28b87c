"""What ``step_effect`` found: accuracy with its spread, and what it cost, by variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Mean, least and greatest over the seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One variant with one seed.

    Attributes:
        seed: of data, weights and order.
        accuracy: share of the held-out things whose class is predicted: the true class where it
            is known, else the recorded one; ``None`` where the variant could not be trained.
        accuracy_recorded: the same by the recorded class.
        judged_by_truth: whether ``accuracy`` is by the true class.
        things: held-out things that every variant was judged on.
        preprocess_s: from the sources to the shards.
        train_s: all optimiser steps.
        rows: training samples.
        inputs: numbers of a sample.
        reason: why it could not be trained; empty if it was.
    """

    seed: int
    accuracy: float | None
    accuracy_recorded: float | None
    judged_by_truth: bool
    things: int
    preprocess_s: float
    train_s: float
    rows: int
    inputs: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VariantEffect:
    """One variant over all seeds.

    Attributes:
        name: such as ``"no cleaning"``.
        steps: that were done.
        trials: one a seed, in their order.
    """

    name: str
    steps: tuple[str, ...]
    trials: tuple[Trial, ...]

    @property
    def accuracy(self) -> Spread | None:
        """Over the seeds that could be trained; ``None`` without one."""
        return spread([t.accuracy for t in self.trials])

    @property
    def accuracy_recorded(self) -> Spread | None:
        """The same by the recorded class."""
        return spread([t.accuracy_recorded for t in self.trials])

    @property
    def preprocess_s(self) -> float:
        """Mean seconds from the sources to the shards."""
        return fmean(t.preprocess_s for t in self.trials)

    @property
    def train_s(self) -> float:
        """Mean seconds of all optimiser steps."""
        return fmean(t.train_s for t in self.trials)

    @property
    def rows(self) -> int:
        """Training samples, of the last seed."""
        return self.trials[-1].rows

    @property
    def inputs(self) -> int:
        """Numbers of a sample, of the last seed."""
        return self.trials[-1].inputs

    @property
    def reason(self) -> str:
        """Why seeds could not be trained, and how many; empty if all were."""
        failed = [t.reason for t in self.trials if t.reason]
        if not failed:
            return ""
        some = "" if len(failed) == len(self.trials) else f"{len(failed)} of {len(self.trials)}: "
        return some + failed[0]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StepEffect:
    """Learning with all steps and without some; grows seed by seed. Seconds are measured.

    Attributes:
        workload: name.
        dataset: name of the specification.
        training_steps: optimiser steps of each training.
        variants: in the order in which they were tried; the first is what others are beside.
    """

    workload: str
    dataset: str
    training_steps: int
    variants: tuple[VariantEffect, ...]

    def of(self, name: str) -> VariantEffect:
        """The variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)

    @property
    def judged_by(self) -> str:
        """``"true class"`` or ``"recorded class"``: what decides whether an answer is right."""
        trials = [t for v in self.variants for t in v.trials if t.accuracy is not None]
        known = bool(trials) and all(trial.judged_by_truth for trial in trials)
        return "true class" if known else "recorded class"

    def difference(self, name: str) -> Spread | None:
        """Accuracy less that of the first variant with the same seed; ``None`` without a pair."""
        pairs = zip(self.of(name).trials, self.variants[0].trials, strict=True)
        return spread(
            [
                None if mine.accuracy is None or first.accuracy is None
                else mine.accuracy - first.accuracy
                for mine, first in pairs
            ]
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "workload": self.workload,
            "dataset": self.dataset,
            "training_steps": self.training_steps,
            "kind": "measured",
            "judged_by": self.judged_by,
            "variants": [
                {
                    "name": variant.name,
                    "steps": list(variant.steps),
                    "accuracy": _plain(variant.accuracy),
                    "accuracy_recorded": _plain(variant.accuracy_recorded),
                    "difference": _plain(self.difference(variant.name)),
                    "preprocess_s": variant.preprocess_s,
                    "train_s": variant.train_s,
                    "rows": variant.rows,
                    "inputs": variant.inputs,
                    "reason": variant.reason,
                    "trials": [asdict(trial) for trial in variant.trials],
                }
                for variant in self.variants
            ],
        }

    def lines(self) -> list[list[str]]:
        """The cells of the table, the first line its headings."""
        heads = [
            "variant", f"right ({self.judged_by})", "least to most", "beside the first",
            "right (as recorded)", "preprocessing", "training", "rows", "inputs",
        ]  # fmt: skip
        return [heads, *(self._line(variant) for variant in self.variants)]

    def _line(self, variant: VariantEffect) -> list[str]:
        found, recorded = variant.accuracy, variant.accuracy_recorded
        apart = self.difference(variant.name)
        return [
            variant.name,
            f"{found.mean:.2%}" if found else "not trained",
            f"{found.low:.2%} to {found.high:.2%}" if found else "",
            f"{100 * apart.mean:+.2f} points" if apart and variant is not self.variants[0] else "",
            f"{recorded.mean:.2%}" if recorded else "",
            f"{variant.preprocess_s:.2f} s",
            f"{variant.train_s:.2f} s",
            f"{variant.rows:,}",
            str(variant.inputs),
        ]

    @property
    def remarks(self) -> list[str]:
        """Variants that could not be trained, with the reason."""
        return [f"{variant.name}: {variant.reason}" for variant in self.variants if variant.reason]

    def _repr_markdown_(self) -> str:
        heads, *rows = self.lines()
        lines = [heads, [":--", *["--:"] * (len(heads) - 1)], *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        said = "".join(f"\n- {remark}" for remark in self.remarks)
        return f"MEASURED, {len(self.variants[0].trials)} seeds\n\n{table}\n{said}"

    def __repr__(self) -> str:
        lines = self.lines()
        widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        table = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*table, *self.remarks])


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean, least and greatest of the values that are there."""
    known = [value for value in values if value is not None]
    return Spread(fmean(known), min(known), max(known)) if known else None


def _plain(found: Spread | None) -> dict[str, float] | None:
    return found._asdict() if found else None
