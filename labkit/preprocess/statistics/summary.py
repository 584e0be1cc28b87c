"""What the pass over all parts finds in one of them: sums, shares of brackets, samples, names."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import Schema, column_values
from labkit.preprocess.statistics.brackets import MAX_SENT, Sample, sample_values
from labkit.preprocess.statistics.first_look import Guesses
from labkit.preprocess.statistics.groups import Cell, Cells, groups_of
from labkit.preprocess.statistics.moments import Moments, moments_of
from labkit.preprocess.statistics.names import Names, names_of_codes, names_of_texts
from labkit.preprocess.statistics.quantiles import Inside, insides_of

MIN_SENT = 128  # values that a small cell of a part sends as its sample


class Summary(NamedTuple):
    """What the pass over all parts finds in one of them, by column and cell."""

    rows: Mapping[tuple[str, Cell], int]  # of no column: ""
    moments: Mapping[tuple[str, Cell], Moments]
    names: Mapping[tuple[str, Cell], Names]
    samples: Mapping[tuple[str, Cell], Sample]  # where a bracket was not guessed for each group
    insides: Mapping[Hashable, list[Inside]]  # of the guessed brackets, by column and group


def summarise_part(
    frame: pd.DataFrame, *, schema: Schema, by_source: bool, guesses: Guesses
) -> Summary:
    """The pass over one part."""
    cells = Cells(frame, schema, by_source=by_source)
    groups = cells.slices_by_group()
    moments, samples = {}, {}
    insides: dict[Hashable, list[Inside]] = {}
    for column in schema.numbers:
        values = cells.ordered(column_values(frame, column))
        for cell, here in zip(cells.cells, cells.slices, strict=True):
            moments[column, cell] = moments_of(values[here])
            if any((column, group) not in guesses for group in groups_of(cell)):
                share = (here.stop - here.start) / cells.num_rows
                max_sent = max(MIN_SENT, round(MAX_SENT * share))
                samples[column, cell] = sample_values(values[here], max_sent)
        for group, slices in groups.items():
            if brackets := guesses.get((column, group)):
                insides[column, group] = insides_of([values[part] for part in slices], brackets)
    names = {}
    for column, in_order in schema.categories.items():
        codes = frame[column].to_numpy(dtype=np.int32)
        for cell, found in names_of_codes(codes, len(in_order), cells).items():
            names[column, cell] = found
    for column in schema.of_kind("text"):
        for cell, found in names_of_texts(frame[column], cells).items():
            names[column, cell] = found
    rows = {
        ("", cell): here.stop - here.start
        for cell, here in zip(cells.cells, cells.slices, strict=True)
    }
    return Summary(rows, moments, names, samples, insides)


def numbers_by_group(
    frame: pd.DataFrame,
    *,
    schema: Schema,
    by_source: bool,
    keys: Container[Hashable] | None = None,
) -> dict[Hashable, list[NDArray[np.float64]]]:
    """Number columns of one part by (column, group), in slices; of these keys, ``None`` for all."""
    cells = Cells(frame, schema, by_source=by_source)
    slices = cells.slices_by_group()
    found: dict[Hashable, list[NDArray[np.float64]]] = {}
    for column in schema.numbers:
        groups = [group for group in slices if keys is None or (column, group) in keys]
        if groups:
            values = cells.ordered(column_values(frame, column))
            for group in groups:
                found[column, group] = [values[part] for part in slices[group]]
    return found
