"""The pass that cleans: each part's rows are repaired once, and everything about it is kept.

Whatever comes after reads the cleaned rows from their file. They are written beside those of
integration, so for a while the rows lie on disk twice; a part whose worker died is cleaned again
from what it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from labkit.preprocess.clean.effect import Effect, count_effect
from labkit.preprocess.clean.repairs import log_of, save_repairs
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.folders import WORK
from labkit.preprocess.parts import write_arrow
from labkit.preprocess.schema import Schema


class Cleaned(NamedTuple):
    """What cleaning left of one part: its effect, and where its rows lie."""

    effect: Effect
    path: str  # empty where they were not kept


def clean_part(
    frame: pd.DataFrame,
    number: int,
    *,
    rules: CleaningRules,
    schema: Schema,
    edges: Mapping[str, tuple[float, float]],
    folder: str | None,
) -> Cleaned:
    """Clean one part, count what changed, and keep the rows and the repairs.

    Args:
        frame: the rows before.
        number: of the part.
        rules: as found.
        schema: of the rows.
        edges: by column, the quantiles that the histograms reach over.
        folder: the dataset's; rows go to ``folder/work``, repairs to ``folder/repairs``, both
            existing. ``None`` keeps neither.
    """
    after, kinds = rules.repair(frame)
    effect = count_effect(frame, after, kinds, rules=rules, schema=schema, edges=edges)
    if folder is None:
        return Cleaned(effect, "")
    save_repairs(log_of(frame, after, kinds), number, folder=folder)
    path = Path(folder) / WORK / f"cleaned-{number:05d}.arrow"
    write_arrow(after, path, schema)
    return Cleaned(effect, str(path))
