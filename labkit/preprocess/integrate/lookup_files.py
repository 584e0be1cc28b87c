"""Small tables to join: read whole on one worker, kept as a file that every task loads once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from labkit.preprocess.integrate.lookups import Lookup
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources.find import find_parts
from labkit.preprocess.sources.maps import SourceMap, read_source_maps
from labkit.preprocess.sources.places import is_database, kind_of, name_of

if TYPE_CHECKING:
    from labkit.preprocess.spec import PipelineSpec


class LookupFiles(NamedTuple):
    """Tables that lie ready to be joined.

    Attributes:
        files: in the order in which they are joined.
        schema: of the rows after all joins.
    """

    files: tuple[str, ...]
    schema: Schema


def save_lookups(paths: Sequence[str], spec: PipelineSpec, folder: str) -> LookupFiles:
    """Read the tables of a specification; on the sources' host.

    Args:
        paths: of the sources, the tables among them.
        spec: declares the tables, each with the pattern of its file's name.
        folder: of the dataset; files go to its ``work``.
    Raises:
        SourceError: a table that is not there, or cannot be read or joined.
    """
    files, schema = [], spec.schema
    for name, settings in spec.integration.lookups.items():
        maps = _maps_of(name, spec)
        own = [path for path in paths if not _is_file(path) or _is_of(path, maps)]
        parts = find_parts(own, maps, settings.schema)
        frame = pd.concat([part.read() for part in parts], ignore_index=True)
        lookup = Lookup(name=name, frame=frame, settings=settings, schema=schema)
        schema = lookup.schema_after
        file = Path(folder) / "work" / f"lookup-{name}.pickle"
        file.write_bytes(pickle.dumps(lookup))
        files.append(str(file))
    return LookupFiles(tuple(files), schema)


@lru_cache(maxsize=8)
def load_lookup(file: str) -> Lookup:
    """A table that ``save_lookups`` kept, in a folder of ours alone."""
    lookup: Lookup = pickle.loads(Path(file).read_bytes())
    return lookup


def without_lookups(paths: Sequence[str], spec: PipelineSpec) -> list[str]:
    """The sources without the files that are tables to join; folders are left as they are."""
    tables = [each for name in spec.integration.lookups for each in _maps_of(name, spec)]
    return [path for path in paths if not (_is_file(path) and _is_of(path, tables))]


def _maps_of(name: str, spec: PipelineSpec) -> tuple[SourceMap, ...]:
    settings = spec.integration.lookups[name]
    return read_source_maps({name: dict(settings.source)}, settings.schema, spec.units)


def _is_file(path: str) -> bool:
    return not is_database(path) and bool(Path(path).suffix)


def _is_of(path: str, maps: Sequence[SourceMap]) -> bool:
    return any(each.fits(kind_of(path), name_of(path)) for each in maps)
