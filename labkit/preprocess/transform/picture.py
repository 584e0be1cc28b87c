"""What transformation did, in small: histograms before and after, and rows by category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.even_histogram import count_even
from labkit.preprocess.schema import Schema, label_codes
from labkit.preprocess.statistics.histogram import ALL, Counts, merge
from labkit.preprocess.transform.fitted import Transformation
from labkit.preprocess.transform.scale import read_numbers

HISTOGRAM_BINS = 40
HISTOGRAM_RANGE = (-6.0, 6.0)
MAX_PICTURES = 16


class Picture(NamedTuple):
    """What one part shows: histograms, rows by category, and what was not as in training."""

    before: Counts
    own: Counts
    after: Counts
    names: dict[str, NDArray[np.int64]]  # (names,) rows by category
    counts: dict[str, dict[str, int]]
    unlabelled: int


def picture_part(frame: pd.DataFrame, *, fitted: Transformation, schema: Schema) -> Picture:
    """One part's histograms before and after, and counts."""
    classes = schema.class_names or (ALL,)
    labels = label_codes(frame, schema) if schema.label else np.zeros(len(frame), dtype=np.int32)
    before, own, after, edges = {}, {}, {}, np.array(_edges())
    scales = {rule.column: rule.scale for rule in fitted.rules if rule.scale is not None}
    for column, own_edges in _own_edges(fitted).items():
        values = read_numbers(frame, column)
        before[column] = count_even(values, labels, edges, classes)
        own[column] = count_even(values, labels, own_edges, classes)
        after[column] = count_even(scales[column].apply(values), labels, edges, classes)
    names = {}
    for rule in fitted.rules:
        if rule.encode is not None:
            size = len(rule.encode.names)
            codes = rule.codes(frame)
            names[rule.column] = np.bincount(codes[(codes >= 0) & (codes < size)], minlength=size)
    unlabelled = int((labels < 0).sum())
    return Picture(before, own, after, names, fitted.count(frame), unlabelled)


def _edges() -> list[float]:
    edges: list[float] = np.linspace(*HISTOGRAM_RANGE, HISTOGRAM_BINS + 1).tolist()
    return edges


def _own_edges(fitted: Transformation) -> dict[str, NDArray[np.float64]]:
    """For the first columns that stay numbers: edges over what the training rows hold."""
    found: dict[str, NDArray[np.float64]] = {}
    for rule in fitted.rules:
        if rule.scale is not None and len(found) < MAX_PICTURES:
            low, high = rule.scale.least, rule.scale.greatest
            if not np.isfinite(high - low):
                continue
            # one step beyond, so that the greatest value lies in the last bin
            high = np.nextafter(high, np.inf) if high > low else low + 1.0
            found[rule.column] = np.linspace(low, high, HISTOGRAM_BINS + 1)
    return found


def merge_pictures(shown: Sequence[Picture], fitted: Transformation) -> dict[str, Any]:
    """All parts' pictures together, plain values; see ``report.py`` for the keys.

    Beside those: ``own_before`` and ``own_edges`` by column, over the training rows' range, and
    ``categories``: rows by column and name.
    """
    own = _own_edges(fitted)
    sides = {
        key: {name: merge([getattr(each, side) for each in shown], name) for name in own}
        for key, side in (("before", "before"), ("after", "after"), ("own_before", "own"))
    }
    names = {}
    for rule in fitted.rules:
        if rule.encode is not None:
            total = np.sum([each.names[rule.column] for each in shown], axis=0)
            names[rule.column] = dict(zip(rule.encode.names, total.tolist(), strict=True))
    return {
        "columns": list(own),
        "edges": _edges(),
        **sides,
        "own_edges": {name: edges.tolist() for name, edges in own.items()},
        "categories": names,
    }
