"""What integration did, from all buckets: figures for the report and for the picture.

The picture holds ``rows_per_source``, ``duplicates``, ``merged``, ``set_aside``, ``conflicts`` by
column, ``known_by`` (things by the sources that describe them) and ``came_from`` (values by column
and source).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.preprocess.schema import add_counts


class HasCounts(Protocol):
    """A source part that was read."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of reading; ``rows: SOURCE`` among them."""

    @property
    def set_aside(self) -> Mapping[str, int]:
        """Rows that were set aside, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What integration did.

    Attributes:
        note: one line for people.
        details: figures by name.
        picture: what is drawn.
    """

    note: str
    details: Mapping[str, Any]
    picture: Mapping[str, Any]


def merge_resolved(
    summaries: Sequence[Mapping[str, Mapping[str, int]]], ingested: Sequence[HasCounts] = ()
) -> Merged:
    """The buckets together.

    Args:
        summaries: of each bucket, ``counts`` and ``provenance`` of ``Resolved`` and ``set_aside``,
            rows by reason; ``matching`` and ``lookups`` where rows were matched or joined.
        ingested: the source parts as they were read.
    """
    counts = add_counts([each["counts"] for each in summaries])
    provenance = add_counts([each["provenance"] for each in summaries])
    reasons = add_counts([*(e.set_aside for e in ingested), *(e["set_aside"] for e in summaries)])
    read = named(add_counts([each.counts for each in ingested]), "rows")
    figures = {
        "duplicates": counts.get("duplicates", 0),
        "merged": counts.get("merged", 0),
        "set_aside": sum(reasons.values()),
    }
    drawn = {
        "rows_per_source": read or named(provenance, "rows"),
        "conflicts": named(counts, "conflicts"),
        "known_by": named(provenance, "known by"),
        "came_from": nested(named(provenance, "from")),
    }
    details: dict[str, Any] = {**figures, **drawn, "set_aside_reasons": reasons}
    if counts.get("repeats kept"):
        details["repeats_kept"] = counts["repeats kept"]
    matching = add_counts([each.get("matching", {}) for each in summaries])
    if matching:
        details["matching"] = named(matching, "matching")
    lookups = add_counts([each.get("lookups", {}) for each in summaries])
    if lookups:
        details["lookups"] = nested(lookups)
    return Merged(note=_note(details), details=details, picture={**figures, **drawn})


def named(counts: Mapping[str, int], group: str) -> dict[str, int]:
    """The counts of one group, ``"group: name"``, by name."""
    prefix = f"{group}: "
    return {
        name.removeprefix(prefix): number
        for name, number in counts.items()
        if name.startswith(prefix)
    }


def nested(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts ``"column: source"`` by column and by source."""
    found: dict[str, dict[str, int]] = {}
    for name, number in counts.items():
        outer, _, inner = name.partition(": ")
        found.setdefault(outer, {})[inner] = number
    return found


def _note(details: Mapping[str, Any]) -> str:
    note = (
        f"one row a thing: {details['duplicates']} duplicates removed, {details['merged']} rows of "
        f"the same thing merged, {details['set_aside']} set aside"
    )
    conflicts = sum(details["conflicts"].values())
    if conflicts:
        note += f"; sources contradict each other in {conflicts} values"
    matching = details.get("matching")
    if matching:
        note += (
            f"; {matching['matched']} of {matching['rows without key']} rows without a key found "
            "their thing"
        )
        large = matching.get("in too large blocks", 0)
        if large:
            note += f", {large} are in blocks too large to compare: add a column to match.block"
    for name, found in details.get("lookups", {}).items():
        note += f"; {name} has nothing for {found['unmatched']} rows"
    return note
