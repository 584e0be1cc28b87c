"""Step 2 on the workers: sources are read once, rows of one thing meet, and one row is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from labkit.errors import SourceError
from labkit.preprocess.integrate.aside import describe_rows, save_set_aside
from labkit.preprocess.integrate.ingest import ingest
from labkit.preprocess.integrate.lookup_files import LookupFiles, load_lookup
from labkit.preprocess.integrate.lookups import join_tables
from labkit.preprocess.integrate.meet import meet_by_likeness
from labkit.preprocess.integrate.report import merge_resolved
from labkit.preprocess.integrate.resolve import NO_CLASS, Resolved, resolve
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.integrate.shuffle import Ingested, bucket_parts
from labkit.preprocess.parts import ArrowRows, Part, map_parts, write_arrow
from labkit.preprocess.report import Report
from labkit.preprocess.schema import KEY, Schema, label_codes
from labkit.preprocess.sources.find import SourcePart
from labkit.preprocess.spec import PipelineSpec
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import Executor

NOTHING: dict[str, Any] = {"counts": {}, "provenance": {}, "set_aside": {}}


class Integrated(NamedTuple):
    """One bucket after integration: the rows lie in a file, the rest is small."""

    path: str
    num_rows: int
    summary: dict[str, Any]  # counts, provenance and reasons, for ``merge_resolved``


def read_sources(
    executor: Executor,
    parts: Sequence[SourcePart],
    spec: PipelineSpec,
    folder: str,
    report: Report,
) -> list[Ingested]:
    """Read every source part once and write it in the common columns.

    Raises:
        SourceError: no source has a usable row.
    """
    executor.begin("sources", len(parts))
    ingested: list[Ingested] = executor.map(
        ingest,
        parts,
        range(len(parts)),
        schema=spec.schema,
        settings=spec.integration,
        folder=folder,
    )
    aside = sum(sum(each.set_aside.values()) for each in ingested)
    usable = sum(each.num_rows for each in ingested)
    report.values["rows_in"] = usable + aside
    report.values["set_aside"] = aside
    if not usable:
        raise SourceError(
            f"none of {aside} rows can be used; the sources' rows and the reasons are listed in "
            "set_aside, so see that key columns and units are as the specification says"
        )
    return ingested


def integrate(
    executor: Executor,
    ingested: Sequence[Ingested],
    spec: PipelineSpec,
    folder: str,
    report: Report,
    *,
    lookups: LookupFiles,
    resolves: bool = True,
) -> StepResult:
    """Bring the rows of one thing together and make one row of them; rows are ordered by key.

    Args:
        executor: where.
        ingested: the sources, read.
        spec: columns, sources and settings.
        folder: of the dataset.
        report: takes the step, unless it is left out.
        lookups: tables to join, as ``save_lookups`` wrote them.
        resolves: whether the step is done; otherwise rows only take the order that it gives.
    Raises:
        SourceError: no row is left.
    """
    report.begin_step()
    schema, settings = spec.schema, spec.integration
    buckets = bucket_parts(ingested)
    matches = resolves and settings.match is not None
    executor.begin("integration", (2 if matches else 1) * len(buckets))
    matched: list[Ingested] = []
    if matches:
        matched = meet_by_likeness(executor, ingested, schema, settings, folder)
        buckets = bucket_parts(matched)
    done: list[Integrated] = map_parts(
        executor,
        integrate_bucket,
        buckets,
        range(len(buckets)),
        schema=schema,
        settings=settings,
        sources=tuple(source.name for source in spec.sources),
        lookups=lookups,
        folder=folder,
        resolves=resolves,
    )
    rows = sum(each.num_rows for each in ingested)
    kept = sum(each.num_rows for each in done)
    summaries = [each.summary for each in done]
    summaries += [{**NOTHING, "matching": each.matching} for each in matched]
    merged = merge_resolved(summaries, ingested)
    report.values["set_aside"] = sum(merged.details["set_aside_reasons"].values())
    if not kept:
        raise SourceError(
            f"no row of {rows} has both a key and a class; see the sources' columns and the "
            f"reasons: {merged.details['set_aside_reasons']}"
        )
    if resolves:
        report.end_step(
            "integration",
            rows_in=report.values["rows_in"],
            rows_out=kept,
            note=merged.note,
            details=merged.details,
            picture={**merged.picture, "rows_out": kept},
        )
    parts = [Part(place, ArrowRows(((each.path, 0, None),))) for place, each in enumerate(done)]
    return StepResult(parts=parts, schema=lookups.schema, rows_out=kept, note=merged.note)


def integrate_bucket(
    frame: pd.DataFrame,
    number: int,
    *,
    schema: Schema,
    settings: IntegrationSettings,
    sources: Sequence[str],
    lookups: LookupFiles,
    folder: str,
    resolves: bool,
) -> Integrated:
    """One bucket's rows, a row a thing, written to ``folder/work``.

    Args:
        frame: all rows of the bucket, in the order of the sources.
        number: of the bucket.
        schema, settings, sources: as of ``resolve``.
        lookups: tables to join.
        folder: of the dataset.
        resolves: as of ``integrate``.
    """
    if resolves:
        resolved = resolve(frame, schema=schema, settings=settings, sources=sources)
    else:
        resolved = only_ordered(frame, schema, sources)
    reasons = save_set_aside(resolved.set_aside, number, folder=folder, stage="integration")
    path = Path(folder) / "work" / f"integrated-{number:05d}.arrow"
    tables = [load_lookup(each) for each in lookups.files]
    joined, joins = join_tables(resolved.frame, tables)
    write_arrow(joined, path, lookups.schema)
    summary = {
        "counts": resolved.counts,
        "provenance": resolved.provenance,
        "set_aside": reasons,
        "lookups": joins,
    }
    return Integrated(str(path), len(resolved.frame), summary)


def only_ordered(frame: pd.DataFrame, schema: Schema, sources: Sequence[str]) -> Resolved:
    """The rows as they are, ordered by key; those without a class cannot be learned from."""
    ordered = frame.sort_values(KEY, kind="stable", ignore_index=True)
    known = label_codes(ordered, schema) >= 0 if schema.label else np.ones(len(frame), dtype=bool)
    return Resolved(
        frame=ordered[known].reset_index(drop=True),
        set_aside=describe_rows(ordered[~known], schema, sources, NO_CLASS),
    )
