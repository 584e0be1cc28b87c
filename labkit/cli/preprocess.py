"""``labkit preprocess``: the five steps on the user's own sources, or on bundled ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from labkit.cli import options
from labkit.cli.clusters import own_cluster
from labkit.cli.output import answer
from labkit.errors import SettingError
from labkit.preprocess.report import STEPS

NUM_WORKERS = 2


@click.command("preprocess")
@click.option(
    "--source", "sources", multiple=True,
    help="A file, a folder or a URL (s3://, postgresql+psycopg://, ...); repeat it for more.",
)  # fmt: skip
@click.option(
    "--spec",
    help="A bundled specification (fruit, flights) or a TOML file; else found or inferred.",
)
@click.option("--label", help="Column to be learned, of sources that no specification describes.")
@click.option("--key", multiple=True, help="Column that identifies a row, of such; repeat it.")
@click.option("--steps", default=",".join(STEPS), show_default=True, help="Steps to do.")
@click.option(
    "--set", "assignments", multiple=True, metavar="STEP.NAME=VALUE",
    help="A setting of a step, such as cleaning.fill=mean; VALUE is JSON or a word.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for shards.")
@click.option(
    "--layout", type=click.Choice(["samples", "features"]), default="samples", show_default=True,
    help="How shards are cut.",
)  # fmt: skip
@click.option("--replicas", type=int, help="Copies of each shard on the workers' own disks.")
@click.option("--rows", type=int, default=20_000, show_default=True, help="Of made fruit.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of made fruit.")
@click.option("--resume", is_flag=True, help="Go on where the same was interrupted.")
@click.option("--workers", type=int, help=f"Workers to launch; {NUM_WORKERS} by default.")
@options.where
@options.as_json
def preprocess_command(
    *,
    sources: tuple[str, ...],
    label: str | None,
    key: tuple[str, ...],
    spec: str | None,
    steps: str,
    assignments: tuple[str, ...],
    out: Path,
    workers: int | None,
    where: options.Where,
    as_json: bool,
    **more: Any,
) -> None:
    """Run the five steps on sources and write training shards."""
    from labkit.cli.preprocess_report import preprocess_table
    from labkit.preprocess.choose import check_sources, chosen_spec
    from labkit.preprocess.folders import check_target, target_of
    from labkit.preprocess.pipeline import check_steps
    from labkit.preprocess.preprocess import check_made, preprocess

    where.check("--workers", workers)
    if not sources and spec is None:
        raise SettingError("no source is given; add --source PATH, or --spec fruit or flights")
    check_made(more["rows"], more["seed"])
    settings = read_assignments(assignments)
    chosen = chosen_spec(spec, label, key, settings, has_sources=bool(sources))
    named = check_steps(steps.split(","))
    target = target_of(out)
    if where.address is None:
        check_target(target)
        if sources:
            check_sources(sources, chosen)
    with own_cluster(NUM_WORKERS if workers is None else workers, where) as cluster:
        dataset = preprocess(
            list(sources) or None,
            cluster=cluster,
            spec=spec,
            label=label,
            key=key,
            steps=named,
            settings=settings,
            out=target,
            **more,
        )
    report = dataset.to_json()
    answer(report, as_json, lambda: preprocess_table(report))


def read_assignments(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Settings by step from ``STEP.NAME=VALUE``.

    Raises:
        SettingError: one is not of that form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        step, dot, name = place.partition(".")
        if not (equals and dot and step and name):
            raise SettingError(
                f"--set {assignment!r} is not STEP.NAME=VALUE; for example cleaning.fill=mean"
            )
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        settings.setdefault(step, {})[name] = value
    return settings
