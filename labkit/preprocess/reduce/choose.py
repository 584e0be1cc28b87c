"""Which columns reduction looks at, before any row is seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from labkit.errors import SettingError
from labkit.preprocess.reduce.filters import drop_by_kind
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.reduce.wavelet import WaveletBasis, wavelet_basis
from labkit.preprocess.schema import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The columns by what is to be done with them.

    Attributes:
        candidates: number and category columns that the filters look at, in order.
        signal: number columns that the wavelet takes.
        basis: of that wavelet, ``None`` for none.
        dropped: by column, why it is left out whatever it holds.
    """

    candidates: Sequence[str]
    signal: Sequence[str]
    basis: WaveletBasis | None
    dropped: Mapping[str, str]


def choose_columns(schema: Schema, settings: ReductionSettings) -> Choice:
    """The columns by what is to be done with them.

    Raises:
        SettingError: a setting names a column that is not there or not of the right kind, the
            wavelet does not fit its columns, or importance is asked for without a label.
    """
    _check_names("keep", settings.keep, [column.name for column in schema.columns])
    _check_names("keep_categories", settings.keep_categories, list(schema.categories))
    if settings.importance > 0 and not schema.label:
        raise SettingError(
            f"importance {settings.importance:g} bits asks what a column tells about the label, "
            "but there is none; name a label, or set importance = 0"
        )
    signal = _signal_columns(schema, settings)
    dropped = {
        name: why for name, why in drop_by_kind(schema, settings).items() if name not in signal
    }
    return Choice(
        candidates=[
            column.name
            for column in schema.columns
            if column.kind != "text" and column.name not in (*dropped, *signal, schema.label)
        ],
        signal=signal,
        basis=_basis(len(signal), settings),
        dropped=dropped,
    )


def _check_names(setting: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingError(
            f"{setting} names {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(known) or 'none: there is no such column'}"
        )


def _signal_columns(schema: Schema, settings: ReductionSettings) -> list[str]:
    """The wavelet's columns, patterns such as ``pixel_*`` replaced by what they match."""
    if settings.wavelet is None:
        return []
    found: list[str] = []
    for pattern in settings.wavelet.columns:
        matching = [name for name in schema.numbers if fnmatchcase(name, pattern)]
        if not matching:
            raise SettingError(
                f"wavelet columns name {pattern!r}, which no number column is; choose from "
                f"{', '.join(schema.numbers) or 'none: there is no number column'}"
            )
        found += [name for name in matching if name not in found]
    if not found:
        raise SettingError("wavelet names no columns; give those that form the signal, in order")
    return found


def _basis(num_columns: int, settings: ReductionSettings) -> WaveletBasis | None:
    if settings.wavelet is None:
        return None
    shape = settings.wavelet.shape or (num_columns,)
    if math.prod(shape) != num_columns:
        raise SettingError(
            f"wavelet shape {tuple(shape)} holds {math.prod(shape)} values, but its columns are "
            f"{num_columns}; give a shape whose sides multiply to {num_columns}"
        )
    return wavelet_basis(shape, settings.wavelet.wavelet, settings.wavelet.levels)
