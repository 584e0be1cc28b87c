"""The five steps, one after the other, over partitions that stay where they are.

Every step has the same shape: a function makes a small summary of each partition, the summaries are
merged here in partition order, and a function applies what was found to each partition. The same
functions run on one machine and on the workers; only the executor differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess import clean, histogram, integrate, reduce, shuffle, statistics, transform
from labkit.preprocess.moments import merge_columns
from labkit.preprocess.quantiles import exact_quantiles
from labkit.preprocess.report import Report, write_report
from labkit.preprocess.schema import FRUITS, LABEL, MISSING, add_counts, counts_of
from labkit.preprocess.shards import make_manifest, write_manifest
from labkit.preprocess.sources import SourcePart, find_parts, read_part
from labkit.preprocess.tasks import Executor

HISTOGRAM_BINS = 40
COMPONENT_RANGE = (-6.0, 6.0)
READ_TASKS, INTEGRATE_TASKS, CLEAN_TASKS, REDUCE_TASKS, TRANSFORM_TASKS = 2, 3, 8, 3, 5


def run_pipeline(
    executor: Executor, sources: Sequence[str], folder: str, report: Report, *, origin: Any
) -> dict[str, Any]:
    """Bring the sources to training shards in ``folder``; its subfolders exist already.

    Args:
        executor: where the part functions run.
        sources: paths on the workers' host.
        folder: for shards, set-aside rows and the manifest.
        report: grows step by step.
        origin: where the sources came from, for the manifest.
    Returns:
        The manifest, already written.
    Raises:
        SourceError: a source that cannot be read, does not match, or holds too little.
    """
    parts = executor.call(find_parts, list(sources))
    partitions, rows, read_counts = _statistics(executor, parts, report)
    partitions, kept_rows = _integration(executor, partitions, rows, read_counts, folder, report)
    partitions, rules = _cleaning(executor, partitions, kept_rows, report)
    partitions, components = _reduction(executor, partitions, kept_rows, report)
    standard, shards = _transformation(
        executor, partitions, components.names, kept_rows, folder, report
    )
    manifest = make_manifest(
        name="fruit",
        shards=shards,
        inputs=np.empty((0, len(components.names)), dtype=np.float32),
        targets=np.empty(0, dtype=np.int64),
        class_names=FRUITS,
        columns=components.names,
        fitted={
            "cleaning": rules.to_dict(),
            "reduction": components.to_dict(),
            "transformation": standard.to_dict(),
        },
        source=origin,
    )
    executor.call(write_report, folder, report.finish(rows_out=kept_rows, shards=len(shards)))
    executor.call(write_manifest, folder, manifest)
    return manifest


def apply_fitted(fitted: Mapping[str, Any], frame: pd.DataFrame) -> NDArray[np.float32]:
    """New fruit, whose class is not known, treated as the test rows were.

    Args:
        fitted: from a manifest.
        frame: rows in the common columns; gaps are filled.
    Returns:
        (rows, components) inputs for the model.
    """
    rules = clean.CleaningRules.from_dict(fitted["cleaning"])
    components = reduce.Components.from_dict(fitted["reduction"])
    standard = transform.Standard.from_dict(fitted["transformation"])
    columns = clean.repair(frame, np.full(len(frame), MISSING), rules)
    return transform.standardise(reduce.project(columns, components), standard)


def _statistics(
    executor: Executor, parts: Sequence[SourcePart], report: Report
) -> tuple[list[Any], int, Counter[str]]:
    tasks = READ_TASKS + statistics.TASKS_PER_PARTITION
    executor.begin("statistics", tasks * len(parts))
    report.begin_step()
    partitions = executor.map(read_part, parts)
    counts = add_counts(executor.collect(counts_of, partitions))
    per_source = _named(counts, "rows")
    rows = sum(per_source.values())
    overall, by_class = statistics.describe(executor, partitions)
    missing = {column: figures["missing"] for column, figures in overall.items()}
    report.values["statistics"] = overall
    report.values["rows_in"] = rows
    report.end_step(
        "statistics",
        rows_in=rows,
        rows_out=rows,
        note=f"{rows} rows from {len(per_source)} sources; {sum(missing.values())} values missing",
        details={"by_class": by_class, "unreadable_values": _named(counts, "unreadable")},
        picture={"rows_per_source": per_source, "missing": missing},
    )
    return partitions, rows, counts


def _integration(
    executor: Executor,
    partitions: Sequence[Any],
    rows: int,
    read_counts: Counter[str],
    folder: str,
    report: Report,
) -> tuple[list[Any], int]:
    buckets = shuffle.num_buckets(rows)
    total = len(partitions) + len(partitions) * buckets + INTEGRATE_TASKS * buckets
    executor.begin("integration", total)
    report.begin_step()
    aside = executor.collect(
        integrate.save_set_aside,
        partitions,
        range(len(partitions)),
        folder=folder,
        stage="reading",
    )
    pieces = shuffle.by_identifier(executor, partitions, buckets)
    resolved = executor.map(integrate.resolve, pieces)
    counts = add_counts(executor.collect(counts_of, resolved))
    aside += executor.collect(
        integrate.save_set_aside, resolved, range(buckets), folder=folder, stage="integration"
    )
    reasons = add_counts(aside)
    set_aside = reasons.total()
    kept = rows - set_aside - counts["duplicates"] - counts["merged"]
    if not kept:
        raise SourceError("no row has both an identifier and a class; see the sources' columns")
    report.values["set_aside"] = set_aside
    conflicts = _named(counts, "conflicts")
    per_source = _named(read_counts, "rows")
    summary = {key: counts[key] for key in ("duplicates", "merged")} | {"set_aside": set_aside}
    report.end_step(
        "integration",
        rows_in=rows,
        rows_out=kept,
        note=(
            f"one row a fruit: {counts['duplicates']} duplicates removed, {counts['merged']} rows "
            f"of the same fruit merged, {set_aside} set aside"
        ),
        details={**summary, "conflicts": conflicts, "set_aside_reasons": reasons},
        picture={**summary, "rows_per_source": per_source, "rows_out": kept},
    )
    return resolved, kept


def _cleaning(
    executor: Executor, partitions: Sequence[Any], rows: int, report: Report
) -> tuple[list[Any], clean.CleaningRules]:
    executor.begin("cleaning", CLEAN_TASKS * len(partitions))
    report.begin_step()
    quartiles = exact_quantiles(executor, partitions, clean.training_values, clean.QUARTILES)
    rules = clean.fit(quartiles)
    cleaned = executor.map(clean.clean, partitions, rules=rules)
    counts = add_counts(executor.collect(counts_of, cleaned))
    greatest = max(high for _, high in rules.fences["diameter_cm"].values())
    edges = np.linspace(0, greatest, HISTOGRAM_BINS + 1).tolist()
    missing = []
    histograms = []
    for side in (partitions, cleaned):
        missing.append(add_counts(executor.collect(histogram.count_missing, side)))
        counted = executor.collect(
            histogram.count_values, side, columns=["diameter_cm"], edges=edges
        )
        histograms.append(histogram.merge(counted, "diameter_cm"))
    outliers, filled = _named(counts, "outliers"), _named(counts, "filled")
    report.end_step(
        "cleaning",
        rows_in=rows,
        rows_out=rows,
        note=(
            f"{sum(outliers.values())} outliers removed, {sum(filled.values())} gaps filled with "
            f"the class median, {counts['relabelled']} wrong labels put right"
        ),
        details={"outliers": outliers, "filled": filled, "relabelled": counts["relabelled"]},
        picture={
            "column": "diameter_cm",
            "edges": edges,
            "before": histograms[0],
            "after": histograms[1],
            "missing_before": missing[0],
            "missing_after": missing[1],
        },
    )
    return cleaned, rules


def _reduction(
    executor: Executor, partitions: Sequence[Any], rows: int, report: Report
) -> tuple[list[Any], reduce.Components]:
    executor.begin("reduction", REDUCE_TASKS * len(partitions))
    report.begin_step()
    components = reduce.fit(executor.collect(reduce.summarise, partitions))
    reduced = executor.map(reduce.reduce_partition, partitions, components=components)
    names = components.names
    points = reduce.merge_points(executor.collect(reduce.pick_points, reduced, names=names[:2]))
    explained = sum(components.explained)
    report.end_step(
        "reduction",
        rows_in=rows,
        rows_out=rows,
        note=(
            f"{len(components.dropped)} useless columns dropped, {len(components.columns)} became "
            f"{len(names)} components that explain {explained:.1%} of the variance"
        ),
        details={
            "dropped": components.dropped,
            "columns": components.columns,
            "loadings": components.loadings,
            "explained": components.explained,
        },
        picture={
            "explained": components.all_explained,
            "num_kept": len(names),
            "points": {
                "x": points[names[0]].tolist(),
                # one component alone is drawn on a line
                "y": points[names[1]].tolist() if len(names) > 1 else [0.0] * len(points),
                "class": [FRUITS[code] for code in points[LABEL]],
            },
        },
    )
    return reduced, components


def _transformation(
    executor: Executor,
    partitions: Sequence[Any],
    names: Sequence[str],
    rows: int,
    folder: str,
    report: Report,
) -> tuple[transform.Standard, list[dict[str, Any]]]:
    executor.begin("transformation", TRANSFORM_TASKS * len(partitions))
    report.begin_step()
    moments = merge_columns(executor.collect(transform.summarise, partitions, names=names))
    standard = transform.fit(moments, names)
    scaled = executor.map(transform.scale, partitions, names=names, standard=standard)
    edges = np.linspace(*COMPONENT_RANGE, HISTOGRAM_BINS + 1).tolist()
    before, after = (
        executor.collect(histogram.count_values, side, columns=names, edges=edges)
        for side in (partitions, scaled)
    )
    written = executor.collect(
        transform.write_part, scaled, range(len(scaled)), names=names, folder=folder
    )
    shards = [entry for entries in written for entry in entries]
    report.end_step(
        "transformation",
        rows_in=rows,
        rows_out=rows,
        note=(
            f"{len(names)} components brought to mean 0 and deviation 1; "
            f"{rows} samples in {len(shards)} shards"
        ),
        details={
            "mean": dict(zip(names, standard.mean, strict=True)),
            "std": dict(zip(names, standard.std, strict=True)),
        },
        picture={
            "columns": names,
            "edges": edges,
            "before": {name: histogram.merge(before, name) for name in names},
            "after": {name: histogram.merge(after, name) for name in names},
        },
    )
    return standard, shards


def _named(counts: Mapping[str, int], group: str) -> dict[str, int]:
    """The counts of one group, ``"group: name"``, by name."""
    prefix = f"{group}: "
    return {
        key.removeprefix(prefix): number for key, number in counts.items() if key.startswith(prefix)
    }
