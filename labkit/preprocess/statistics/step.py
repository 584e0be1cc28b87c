"""Step 1 on the workers: what the sources hold, as read, before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.preprocess.integrate.shuffle import Ingested
from labkit.preprocess.parts import ArrowRows, Part
from labkit.preprocess.report import Report
from labkit.preprocess.schema import add_counts
from labkit.preprocess.spec import PipelineSpec
from labkit.preprocess.statistics.describe import describe
from labkit.preprocess.tasks import Executor


def describe_sources(
    executor: Executor, ingested: Sequence[Ingested], spec: PipelineSpec, report: Report
) -> None:
    """Add the statistics of all rows, of each class and of each source to the report.

    Args:
        executor: where.
        ingested: the sources, read.
        spec: names the columns and the sources.
        report: takes the ``statistics`` entry and the step.
    """
    report.begin_step()
    parts = [Part(place, ArrowRows(((each.path, 0, None),))) for place, each in enumerate(ingested)]
    names = [source.name for source in spec.sources]
    found = describe(executor, parts, spec.schema, sources=names)
    counts = add_counts([each.counts for each in ingested])
    rows = named_counts(counts, "rows")
    missing = {column: figures["missing"] for column, figures in found.overall.items()}
    total = report.values["rows_in"]
    report.values["statistics"] = found.overall
    report.end_step(
        "statistics",
        rows_in=total,
        rows_out=total,
        note=f"{total} rows from {len(rows)} sources; {sum(missing.values())} values missing",
        details={
            "by_class": found.by_class,
            "by_source": found.by_source,
            "unreadable_values": named_counts(counts, "unreadable"),
        },
        picture={"rows_per_source": rows, "missing": missing},
    )


def named_counts(counts: dict[str, int], group: str) -> dict[str, int]:
    """The counts of one group, ``"group: name"``, by name."""
    prefix = f"{group}: "
    return {
        key.removeprefix(prefix): number for key, number in counts.items() if key.startswith(prefix)
    }
