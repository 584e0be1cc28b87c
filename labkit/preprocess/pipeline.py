"""The five steps, one after the other, over parts that stay where they are.

Every step has the same shape: a function makes a small summary of each part (map), the summaries
are merged here in the order of the parts (reduce), and from then on each part goes through what was
found whenever it is loaded. Rows are written when they are read, when they are integrated and when
they are cleaned, each time as many bytes, which lie in the folder ``work`` until the end; and at
last as training shards. The same functions run on one machine and on the workers; only the executor
differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from labkit.errors import SettingError, SourceError
from labkit.preprocess.clean.step import clean
from labkit.preprocess.integrate.lookup_files import LookupFiles
from labkit.preprocess.integrate.step import integrate, read_sources
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.reduce.step import reduce
from labkit.preprocess.report import STEPS, Report, write_report
from labkit.preprocess.schema import Schema
from labkit.preprocess.shards import Layout, make_manifest, write_manifest, write_part
from labkit.preprocess.sources.find import SourcePart
from labkit.preprocess.spec import PipelineSpec
from labkit.preprocess.statistics.step import describe_sources
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import Executor
from labkit.preprocess.transform.settings import TransformationSettings
from labkit.preprocess.transform.step import transform

StepFunction = Callable[..., StepResult]

# The steps that are fitted to the integrated rows.
FITTED: Mapping[str, StepFunction] = MappingProxyType({"cleaning": clean, "reduction": reduce})
# What a model needs in any case: numbers. Nothing is scaled, cut or generalised.
BARE = TransformationSettings(scale="none", encode="code")


def run_pipeline(
    executor: Executor,
    parts: Sequence[SourcePart],
    spec: PipelineSpec,
    folder: str,
    report: Report,
    *,
    origin: Any,
    lookups: LookupFiles | None = None,
    steps: Sequence[str] = STEPS,
    layout: Layout = "samples",
) -> dict[str, Any]:
    """Bring sources to training shards in ``folder``; its subfolders exist already.

    Args:
        executor: where the functions run.
        parts: of the sources, as ``find_parts`` gives them.
        spec: columns, sources, settings of the steps.
        folder: for shards, rows set aside, repairs and the manifest.
        report: grows step by step.
        origin: where the sources came from, for the manifest.
        lookups: tables to join; ``None`` for none.
        steps: which of ``STEPS``; one that is left out changes nothing. With statistics alone no
            shard is written.
        layout: of the shards.
    Returns:
        The manifest, already written.
    Raises:
        SourceError: a source that cannot be read, does not match, or holds too little.
    """
    ingested = read_sources(executor, parts, spec, folder, report)
    if "statistics" in steps:
        describe_sources(executor, ingested, spec, report)
    fitted: dict[str, Any] = {}
    shards: list[dict[str, Any]] = []
    columns: tuple[str, ...] = ()
    rows = report.values["rows_in"]
    if tuple(steps) != ("statistics",):
        result = integrate(
            executor,
            ingested,
            spec,
            folder,
            report,
            lookups=lookups or LookupFiles((), spec.schema),
            resolves="integration" in steps,
        )
        for name, function in FITTED.items():
            if name in steps:
                kept = {"folder": folder} if name == "cleaning" else {}
                result = _fit(executor, function, name, result, spec, report, **kept)
                fitted[name] = _plain(result)
        if "transformation" not in steps:
            spec = replace(spec, transformation=BARE)
        result = _fit(executor, transform, "transformation", result, spec, report)
        fitted["transformation"] = _plain(result)
        columns = result.schema.numbers
        shards = _write(executor, result.parts, columns, result.schema, folder, layout)
        rows = result.rows_out
    manifest = make_manifest(
        name=spec.name,
        shards=shards,
        num_columns=len(columns),
        class_names=spec.schema.class_names,
        columns=columns,
        schema=spec.schema,
        fitted=fitted,
        source=origin,
        layout=layout,
    )
    values = report.finish(rows_out=rows, shards=len(shards))
    executor.call(write_report, folder, values)
    executor.call(write_manifest, folder, manifest)
    return manifest


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """The steps, in their order, each once.

    Raises:
        SettingError: an unknown step, or none.
    """
    unknown = [step for step in steps if step not in STEPS]
    if unknown or not steps:
        raise SettingError(
            f"steps {', '.join(map(repr, unknown)) or 'are empty'}; choose from {', '.join(STEPS)}"
        )
    return tuple(step for step in STEPS if step in steps)


def _fit(
    executor: Executor,
    function: StepFunction,
    name: str,
    before: StepResult,
    spec: PipelineSpec,
    report: Report,
    **more: Any,
) -> StepResult:
    report.begin_step()
    settings = getattr(spec, name)
    result = function(executor, before.parts, before.schema, settings, before.rows_out, **more)
    report.end_step(
        name,
        rows_in=before.rows_out,
        rows_out=result.rows_out,
        note=result.note,
        details=result.details,
        picture=result.picture,
    )
    return result


def _plain(result: StepResult) -> dict[str, Any]:
    return result.fitted.to_dict() if result.fitted is not None else {}


def _write(
    executor: Executor,
    parts: Sequence[Part],
    columns: Sequence[str],
    schema: Schema,
    folder: str,
    layout: Layout,
) -> list[dict[str, Any]]:
    executor.expect(len(parts))
    written = map_parts(
        executor,
        write_part,
        parts,
        range(len(parts)),
        names=columns,
        schema=schema,
        folder=folder,
        layout=layout,
    )
    shards = [entry for entries in written for entry in entries]
    if not any(entry["split"] == "train" for entry in shards):
        raise SourceError("no training row is left; give more rows")
    return shards
