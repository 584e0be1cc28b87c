"""Rows without a key on the workers: they meet what resembles them, and then, once more, by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from labkit.preprocess.integrate.match import match_rows
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.integrate.shuffle import Ingested, bucket_parts, order_by_bucket
from labkit.preprocess.parts import map_parts, write_arrow
from labkit.preprocess.schema import KEY, Schema
from labkit.preprocess.tasks import Executor


def meet_by_likeness(
    executor: Executor,
    ingested: Sequence[Ingested],
    schema: Schema,
    settings: IntegrationSettings,
    folder: str,
) -> list[Ingested]:
    """The rows again, all with a key and ordered by its bucket.

    Args:
        executor: runs a task a part.
        ingested: the sources, ordered by what rows are compared by.
        schema, settings: of the match.
        folder: of the dataset.
    """
    buckets = bucket_parts(ingested)
    return map_parts(
        executor,
        match_bucket,
        buckets,
        range(len(buckets)),
        schema=schema,
        settings=settings,
        folder=folder,
    )


def match_bucket(
    frame: pd.DataFrame,
    number: int,
    *,
    schema: Schema,
    settings: IntegrationSettings,
    folder: str,
) -> Ingested:
    """One bucket of whole blocks, its rows with keys, written to ``folder/work``."""
    matched = match_rows(frame, schema, settings)
    order, offsets = order_by_bucket(matched.frame[KEY].to_numpy())
    path = Path(folder) / "work" / f"matched-{number:05d}.arrow"
    write_arrow(matched.frame.iloc[order], path, schema, offsets)
    return Ingested(str(path), offsets, matching=dict(matched.counts))
