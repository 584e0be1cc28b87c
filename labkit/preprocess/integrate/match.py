"""Rows without a key find the thing that they describe by what resembles it.

Only rows of one block, which are equal in the block's columns, are compared. The pairs that are
alike are joined, the most alike first, one-to-one: a thing is described by one row of a source, and
has one key. What is found depends on the rows alone, not on their order or on other blocks.

Rows of one thing may have been in different blocks, for a source may err in a block's column too:
after their keys are known, rows have to meet once more, by key, before they are resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.integrate.clusters import join_best
from labkit.preprocess.integrate.keys import changes, content_keys, is_missing
from labkit.preprocess.integrate.settings import IntegrationSettings, MatchSettings
from labkit.preprocess.integrate.similarity import alike, compared_columns, pairs_in_blocks
from labkit.preprocess.schema import KEY, SOURCE, Schema

SIGN = np.int64(-(2**63))  # keys made here are negative
BANDS = 5  # of the scores from the threshold to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """One part after its rows without a key were matched.

    Attributes:
        frame: the rows, all with a key.
        counts: ``matching: ...`` by name: ``rows without key``, ``matched`` (of these),
            ``in no block`` and ``in too large blocks`` (of these), ``pairs`` compared,
            ``alike FROM to TO`` and ``joined FROM to TO`` by score.
    """

    frame: pd.DataFrame
    counts: Mapping[str, int]


def block_key(
    frame: pd.DataFrame, schema: Schema, settings: IntegrationSettings
) -> NDArray[np.int64]:
    """(rows,) what rows meet by to be compared; a row that lacks a block's column meets none."""
    match = _match_of(settings)
    in_block = ~_lacks(frame, schema, match.block)
    blocks = content_keys(frame, schema, match.block)
    return blocks if in_block.all() else np.where(in_block, blocks, content_keys(frame, schema))


def assign_keys(frame: pd.DataFrame, schema: Schema, settings: IntegrationSettings) -> pd.DataFrame:
    """The rows, all with a key; see ``match_rows``."""
    return match_rows(frame, schema, settings).frame


def match_rows(frame: pd.DataFrame, schema: Schema, settings: IntegrationSettings) -> Matched:
    """Give every row without a key the key of its partner, or else one made from what it holds.

    Args:
        frame: rows of whole blocks. Where the schema has no key, no row has one.
    Returns:
        The rows by block and in their order within it: so it no longer matters how the sources
        were cut into parts, which decides in what order blocks come together.
    """
    match = _match_of(settings)
    frame = frame.take(np.argsort(block_key(frame, schema, settings), kind="stable"))
    keyless = np.ones(len(frame), dtype=bool)
    if schema.key:
        keyless = _lacks(frame, schema, schema.key)
    in_block = ~_lacks(frame, schema, match.block)
    keys = np.where(keyless, content_keys(frame, schema) | SIGN, frame[KEY].to_numpy())
    counts = {
        "rows without key": int(keyless.sum()),
        "in no block": int((keyless & ~in_block).sum()),
    }
    if (keyless & in_block).any():
        places = np.flatnonzero(in_block)
        blocks = _in_order(frame.take(places), keyless[places], keys[places], schema, match)
        keys[places[blocks.order]], found = _match_blocks(blocks, schema, match)
        counts |= found
    return Matched(
        frame=frame.assign(**{KEY: keys}),
        counts={f"matching: {name}": number for name, number in counts.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Rows in an order that follows from what they hold, not from where they came.

    Attributes:
        order: (rows,) where each was before.
        frame: the rows, by block; in it those with a key first; by key, source and content.
        block, thing: (rows,) numbers, rising; a thing is a key in a block.
        keyless: (rows,) whether the row came without a key.
        keys, sources: (rows,) as they are before matching.
        is_new: (rows,) whether it differs from the row before it in anything.
    """

    order: NDArray[np.intp]
    frame: pd.DataFrame
    block: NDArray[np.int64]
    thing: NDArray[np.int64]
    keyless: NDArray[np.bool_]
    keys: NDArray[np.int64]
    sources: NDArray[np.int64]
    is_new: NDArray[np.bool_]


def _in_order(
    frame: pd.DataFrame,
    keyless: NDArray[np.bool_],
    keys: NDArray[np.int64],
    schema: Schema,
    match: MatchSettings,
) -> _Blocks:
    content = content_keys(frame, schema)
    blocks = content_keys(frame, schema, match.block)
    sources = frame[SOURCE].to_numpy(dtype=np.int64)
    order = np.lexsort((content, sources, keys, keyless, blocks))
    blocks, keyless, keys = blocks[order], keyless[order], keys[order]
    sources, content = sources[order], content[order]
    return _Blocks(
        order=order,
        frame=frame.take(order),
        block=np.cumsum(changes(blocks)) - 1,
        thing=np.cumsum(changes(blocks, keyless, keys)) - 1,
        keyless=keyless,
        keys=keys,
        sources=sources,
        is_new=changes(blocks, keyless, keys, sources, content),
    )


def _match_blocks(
    rows: _Blocks, schema: Schema, match: MatchSettings
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """(rows,) the key of each row in order, and what was counted."""
    places = np.flatnonzero(rows.is_new)  # rows that are the same in all are compared once
    large = np.bincount(rows.block[places])[rows.block] > match.greatest_block
    places = places[~large[places]]
    num_pairs, one, other, scores = _alike(rows, places, schema, match)
    starts = np.flatnonzero(changes(rows.thing))
    said_by = [0] * len(starts)
    told = changes(rows.thing, rows.sources)
    pairs = zip(rows.thing[told].tolist(), rows.sources[told].tolist(), strict=True)
    for thing, source in pairs:
        said_by[thing] |= 1 << source
    has_key = (~rows.keyless[starts]).tolist()
    root, joined = join_best(has_key, said_by, rows.thing[one], rows.thing[other], scores)
    alone = np.bincount(root, minlength=len(root))[root] == 1
    counts = {
        "matched": int((rows.keyless & ~alone[rows.thing]).sum()),
        "in too large blocks": int((rows.keyless & large).sum()),
        "pairs": num_pairs,
    }
    counts |= _by_score("alike", scores, match) | _by_score("joined", joined, match)
    return rows.keys[starts][root][rows.thing], counts


def _alike(
    rows: _Blocks, places: NDArray[np.intp], schema: Schema, match: MatchSettings
) -> tuple[int, NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """How many pairs were compared; the two rows and the score of each pair that is alike."""
    columns = compared_columns(rows.frame.take(places), schema, match)
    sources = rows.sources[places]
    num_pairs = 0
    none = np.zeros(0, dtype=np.intp)
    found = [(none, none, np.zeros(0))]
    for one, other in pairs_in_blocks(rows.block[places], rows.keyless[places]):
        apart = sources[one] != sources[other]
        one, other = one[apart], other[apart]
        num_pairs += len(one)
        good, scores = alike(columns, one, other, match)
        found.append((places[one[good]], places[other[good]], scores))
    ones, others, good_scores = (np.concatenate(each) for each in zip(*found, strict=True))
    return num_pairs, ones, others, good_scores


def _by_score(name: str, scores: NDArray[np.float64], match: MatchSettings) -> dict[str, int]:
    """Pairs by score, from the threshold to 1."""
    edges = np.linspace(match.threshold, 1.0, BANDS + 1)
    band = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, BANDS - 1)
    numbers = np.bincount(band, minlength=BANDS).tolist()
    return {f"{name} {edges[at]:.2f} to {edges[at + 1]:.2f}": numbers[at] for at in range(BANDS)}


def _lacks(frame: pd.DataFrame, schema: Schema, names: Sequence[str]) -> NDArray[np.bool_]:
    """(rows,) where any of the columns is missing."""
    missing = [is_missing(frame[name], schema.column(name)) for name in names]
    return np.asarray(np.logical_or.reduce(missing))


def _match_of(settings: IntegrationSettings) -> MatchSettings:
    assert settings.match is not None, "rows are matched only where settings say how"
    return settings.match
