"""Step 5, transformation: the columns become float32 inputs, by what the training rows say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Schema, add_counts
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import Executor
from labkit.preprocess.transform.fit import fit, num_passes
from labkit.preprocess.transform.fitted import Transformation
from labkit.preprocess.transform.picture import Picture, merge_pictures, picture_part
from labkit.preprocess.transform.settings import TransformationSettings


def transform(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    settings: TransformationSettings,
    rows: int,
) -> StepResult:
    """Fit the transformation and put it behind the parts.

    Args:
        executor: runs the passes over the parts.
        parts: the rows after reduction.
        schema: their columns.
        settings: what is done to which column.
        rows: how many there are.
    Returns:
        Parts of inputs. Rows whose class is not known are in them, but not counted: they are left
        out of the shards.
    Raises:
        SettingError: settings that do not fit the columns.
        SourceError: no column is left.
    """
    executor.begin("transformation", (num_passes(schema, settings) + 1) * len(parts))
    fitted = fit(executor, parts, schema, settings)
    shown: list[Picture] = map_parts(executor, picture_part, parts, fitted=fitted, schema=schema)
    counts = {
        what: add_counts([each.counts[what] for each in shown])
        for what in ("unseen", "beyond", "missing")
    }
    unlabelled = sum(each.unlabelled for each in shown)
    return StepResult(
        parts=[part.then(fitted) for part in parts],
        schema=fitted.schema_after(schema),
        rows_out=rows - unlabelled,
        note=_note(fitted, counts, unlabelled),
        fitted=fitted,
        details={**_details(fitted, counts), "unlabelled": unlabelled},
        picture=merge_pictures(shown, fitted),
    )


def _details(fitted: Transformation, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    scales = {rule.column: rule.scale for rule in fitted.rules if rule.scale is not None}
    return {
        "inputs": list(fitted.names),
        "mean": {name: scale.mean for name, scale in scales.items()},
        "std": {name: scale.std for name, scale in scales.items()},
        "scale": {
            name: {"method": scale.method, "shift": scale.shift, "width": scale.width}
            for name, scale in scales.items()
        },
        "bins": {
            rule.column: {"cuts": list(rule.bins.cuts), "names": list(rule.bins.names)}
            for rule in fitted.rules
            if rule.bins is not None
        },
        "generalised": {
            rule.column: {"names": list(rule.lift.names), "unplaced": list(rule.lift.unplaced)}
            for rule in fitted.rules
            if rule.lift is not None
        },
        "encoded": {
            rule.column: rule.encode.output for rule in fitted.rules if rule.encode is not None
        },
        "dropped": dict(fitted.dropped),
        **{what: dict(found) for what, found in counts.items()},
    }


def _note(fitted: Transformation, counts: Mapping[str, Mapping[str, int]], unlabelled: int) -> str:
    """What was done, with numbers."""
    methods = [rule.scale.method for rule in fitted.rules if rule.scale is not None]
    words = {
        "standard": "brought to mean 0 and deviation 1",
        "min_max": "brought to 0..1",
        "robust": "brought to median 0 and quartiles 1 apart",
        "none": "left as they are",
    }
    said = [f"{methods.count(m)} numbers {text}" for m, text in words.items() if m in methods]
    for what, verb in (("bins", "cut into bins"), ("lift", "generalised")):
        number = sum(getattr(rule, what) is not None for rule in fitted.rules)
        said += [f"{number} columns {verb}"] if number else []
    coded = sum(r.encode is not None and not r.bins and not r.lift for r in fitted.rules)
    said += [f"{coded} categories encoded"] if coded else []
    unseen = sum(counts["unseen"].values())
    said += [f"{unseen} values never seen in training"] if unseen else []
    said += [f"{unlabelled} rows without a class left out"] if unlabelled else []
    return f"{len(fitted.names)} inputs: " + ", ".join(said)
