"""``labkit preprocess``: the five steps on the user's own sources."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli import options
from labkit.cli.clusters import own_cluster
from labkit.cli.output import answer


@click.command("preprocess")
@click.option("--source", "sources", multiple=True, required=True, help="A folder or file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for shards.")
@click.option("--workers", type=int, default=2, show_default=True, help="Workers to launch.")
@options.address
@options.as_json
def preprocess_command(
    *, sources: tuple[str, ...], out: Path, workers: int, address: str | None, as_json: bool
) -> None:
    """Run the five steps on sources and write training shards."""
    from labkit.preprocess.preprocess import preprocess
    from labkit.preprocess.sources import check_sources
    from labkit.reports import preprocess_table

    if address is None:
        check_sources(sources)
    with own_cluster(workers, address) as cluster:
        dataset = preprocess(list(sources), cluster=cluster, out=out)
    report = dataset.to_json()
    answer(report, as_json, lambda: preprocess_table(report))
