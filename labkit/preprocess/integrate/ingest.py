"""Reading a source part once, and writing it in the common columns, ready to be met by others."""

from __future__ import annotations

from pathlib import Path

from labkit.preprocess.integrate.match import block_key
from labkit.preprocess.integrate.resolve import save_set_aside
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.integrate.shuffle import Ingested, order_by_bucket
from labkit.preprocess.parts import write_arrow
from labkit.preprocess.schema import KEY, Schema
from labkit.preprocess.sources.find import SourcePart
from labkit.preprocess.sources.read import read_part

FOLDER = "work"


def ingest(
    part: SourcePart, number: int, *, schema: Schema, settings: IntegrationSettings, folder: str
) -> Ingested:
    """Read one part, set aside what cannot be used, write the rest to ``folder/work``.

    Args:
        part: of a source.
        number: of the part among all.
        schema: the common columns.
        settings: say whether rows meet by their key or by what resembles.
        folder: of the dataset.
    """
    read = read_part(part)
    aside = save_set_aside(read.set_aside, number, folder=folder, stage="reading")
    frame = read.frame
    keys = block_key(frame, schema, settings) if settings.match else frame[KEY].to_numpy()
    order, offsets = order_by_bucket(keys)
    path = Path(folder) / FOLDER / f"read-{number:05d}.arrow"
    write_arrow(frame.iloc[order], path, schema, offsets)
    return Ingested(str(path), offsets, dict(read.counts), aside)
