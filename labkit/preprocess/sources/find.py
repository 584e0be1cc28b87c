"""Finding the parts of the sources: which map each file or table is read by, and where it is cut.

Only headers are read, so that a source which matches nothing is refused before any work.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import SourceError
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources.batches import Span
from labkit.preprocess.sources.kinds import columns_of, reading, spans_of
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.places import (
    hide_password,
    is_address,
    is_database,
    kind_of,
    list_files,
    name_of,
)
from labkit.preprocess.sources.read import SourcePart
from labkit.preprocess.sources.sql import (
    database_name,
    open_database,
    sql_columns,
    sql_spans,
    sql_tables,
)

NO_SPANS: list[Span | None] = [None]

__all__ = ["SourcePart", "check_sources", "find_parts"]


def find_parts(
    sources: Sequence[str], spec_maps: Sequence[SourceMap], schema: Schema
) -> list[SourcePart]:
    """The parts of all sources, in the order given; folders are searched for files.

    Args:
        sources: paths, addresses of files and folders, databases.
        spec_maps: what they may be.
        schema: the common columns.
    Returns:
        One part at least of every file and table; one without rows has no span.
    Raises:
        SourceError: nothing there, not readable, no map that fits, no rows in any.
    """
    parts: list[SourcePart] = []
    for source in sources:
        for file in [source] if is_database(source) else _chosen_files(source, spec_maps):
            kind = "sql" if is_database(file) else kind_of(file)
            find = _find_tables if kind == "sql" else _find_file
            with reading(file, kind):
                parts.extend(find(file, kind, spec_maps, schema))
    if all(part.span is None for part in parts):
        shown = ", ".join(map(hide_password, sources))
        raise SourceError(f"{shown or 'no source'} holds no rows; give a source that has some")
    return parts


def _chosen_files(source: str, maps: Sequence[SourceMap]) -> list[str]:
    """The files of a source; of a folder, those alone that a map's ``match`` chooses, if all do.

    A file that was named itself, or that any map may be for, must be read or refused.
    """
    files = list_files(source)
    if files == [source] or not all(each.match for each in maps):
        return files
    fits = [any(each.fits(kind_of(file), name_of(file)) for each in maps) for file in files]
    if not any(fits):
        raise SourceError(
            f"source {hide_password(source)} holds {', '.join(map(name_of, files[:10]))}, and none "
            f"matches {', '.join(each.match for each in maps)}; correct match, or the source"
        )
    return [file for file, chosen in zip(files, fits, strict=True) if chosen]


def check_sources(sources: Sequence[str], spec_maps: Sequence[SourceMap], schema: Schema) -> None:
    """Refuse sources of this host that cannot be used, before a cluster is launched for them.

    Raises:
        SourceError: as ``find_parts``.
    """
    find_parts([str(source) for source in sources], spec_maps, schema)


def _find_file(file: str, kind: str, maps: Sequence[SourceMap], schema: Schema) -> list[SourcePart]:
    candidates = _candidates(file, kind, name_of(file), maps)
    present = {each.name: columns_of(file, kind, each) for each in candidates}
    chosen = _best(file, candidates, present)
    return [
        SourcePart(source=file, kind=kind, map=chosen, schema=schema, span=span)
        for span in spans_of(file, kind, chosen) or NO_SPANS
    ]


def _find_tables(
    source: str, kind: str, maps: Sequence[SourceMap], schema: Schema
) -> list[SourcePart]:
    """Every map whose table or query is there takes part: a database may hold several sources."""
    if is_address(source) and not is_database(source):
        raise SourceError(
            f"source {hide_password(source)} is a database file far away; copy it here, or give a "
            "database's own address"
        )
    candidates = _candidates(source, kind, database_name(source), maps)
    parts: list[SourcePart] = []
    refusals: list[tuple[int, str]] = []
    with open_database(source) as connection:
        tables = sql_tables(connection)
        for each in candidates:
            names = [each.table] if each.table or each.query else tables
            fitting = []
            for table in names:
                if table and table.rpartition(".")[2] not in tables and "." not in table:
                    refusals.append((len(each.columns), f"it has no table {table!r}, only "
                                     f"{', '.join(map(repr, tables)) or 'none'}"))  # fmt: skip
                    continue
                columns = sql_columns(connection, each, table)
                lacking = [name for name in each.columns if name not in columns]
                if lacking:
                    refusals.append((len(lacking), _lacks(each, table, lacking, columns)))
                else:
                    fitting.append(table)
            for table in fitting:
                by, spans = sql_spans(connection, each, table)
                parts.extend(
                    SourcePart(source=source, kind=kind, map=each, schema=schema, span=span,
                               table=table, by=by)
                    for span in spans or NO_SPANS
                )  # fmt: skip
    if not parts:
        why = min(refusals)[1] if refusals else "it has no tables"
        raise SourceError(f"source {hide_password(source)} matches no map: {why}")
    return parts


def _candidates(source: str, kind: str, name: str, maps: Sequence[SourceMap]) -> list[SourceMap]:
    fitting = [each for each in maps if each.fits(kind, name)]
    if not fitting:
        described = ", ".join(
            f"{each.name} ({each.kind or 'any file'}{' ' * bool(each.match)}{each.match})"
            for each in maps
        )
        raise SourceError(
            f"source {hide_password(source)} is of kind {kind}, and no [sources.NAME] of the "
            f"specification is for it; there are {described or 'none'}"
        )
    return fitting


def _best(source: str, candidates: Sequence[SourceMap], present: dict[str, list[str]]) -> SourceMap:
    """The map that reads most of the columns; the one believed first if several do."""
    lacking = {
        each.name: [name for name in each.columns if name not in present[each.name]]
        for each in candidates
    }
    fitting = [each for each in candidates if not lacking[each.name]]
    if fitting:
        return max(fitting, key=lambda each: len(each.columns))
    closest = min(candidates, key=lambda each: len(lacking[each.name]) / len(each.columns))
    raise SourceError(
        f"source {hide_password(source)} matches no map: "
        f"{_lacks(closest, '', lacking[closest.name], present[closest.name])}"
    )


def _lacks(
    source_map: SourceMap, table: str, lacking: Sequence[str], present: Sequence[str]
) -> str:
    where = f"in table {table!r} " if table else ""
    return (
        f"for {source_map.name}, the closest, it lacks {where}the columns "
        f"{', '.join(map(repr, lacking))}; it has {', '.join(map(repr, present)) or 'none'}: "
        "rename them, or describe it in the specification"
    )
