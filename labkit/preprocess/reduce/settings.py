"""What reduction is told: which columns may be dropped, and how many numbers may be left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from labkit.errors import SettingError

Filter = Literal["unordered", "constant", "identifier", "duplicate", "unimportant", "correlated"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
Method = Literal["pca", "pca_sampled", "none"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveletSettings:
    """Number columns that are one signal or one image, to be kept as few wavelet coefficients.

    Attributes:
        columns: of the schema, in the order of the signal; ``"pixel_*"`` takes all that match.
        shape: of one signal: ``(8, 8)`` is an image; empty: a line as long as the columns.
        wavelet: an orthogonal one of PyWavelets: ``haar``, ``db2``, ``sym4``, ``coif1``...
        energy: share of the training rows' energy (sum of squares) that the kept coefficients
            hold, in (0, 1].
        levels: how often the signal is halved; ``None`` as often as its shape allows.
    """

    columns: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    wavelet: str = "haar"
    energy: float = 0.95
    levels: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "shape", tuple(self.shape))
        if any(side < 1 for side in self.shape):
            raise SettingError(f"wavelet shape {self.shape}: every side must be at least 1")
        _require_share("wavelet energy", self.energy)
        if self.levels is not None and self.levels < 1:
            raise SettingError(f"wavelet levels {self.levels}; choose 1 or more, or none at all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionSettings:
    """Settings of step 4.

    Attributes:
        drop: the reasons for which a column is dropped. ``unordered``: categories, which have no
            order (texts are dropped always); ``constant``: one value, or none at all;
            ``identifier``: whole numbers, nearly every row another; ``duplicate``: equal to a
            column before it in every row; ``unimportant``: see ``importance``; ``correlated``: see
            ``correlation``.
        identifier_share: share of a column's different values that are whole and occur only once,
            from which it is an identifier; at least half of the rows must hold different ones, too.
        correlation: size of Pearson's r to a column before it, from which a column says nothing
            new.
        importance: bits that a column must tell about the label (mutual information); 0 drops none.
        keep: columns that no filter drops.
        keep_categories: categories that go on to the transformation, which encodes them.
        method: ``pca`` projects on principal components of all training rows, ``pca_sampled`` on
            those of a sample, ``none`` lets the columns go on as they are.
        explained: share of the variance that the components must explain, in (0, 1].
        components: how many components, whatever they explain; ``None`` obeys ``explained``.
        sample_rows: about so many training rows, chosen by their keys, are the sample.
        wavelet: columns that form a signal, see ``WaveletSettings``; a mapping of its settings will
            do.
    """

    drop: tuple[Filter, ...] = FILTERS
    identifier_share: float = 0.9
    correlation: float = 0.99
    importance: float = 0.0
    keep: tuple[str, ...] = ()
    keep_categories: tuple[str, ...] = ()
    method: Method = "pca"
    explained: float = 0.95
    components: int | None = None
    sample_rows: int = 10_000
    wavelet: WaveletSettings | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.drop if name not in FILTERS]
        if unknown:
            raise SettingError(
                f"drop names {', '.join(map(repr, unknown))}; choose from {', '.join(FILTERS)}"
            )
        if self.method not in METHODS:
            raise SettingError(
                f"method {self.method!r} is unknown; choose from {', '.join(METHODS)}"
            )
        _require_share("identifier_share", self.identifier_share)
        _require_share("correlation", self.correlation)
        _require_share("explained", self.explained)
        if self.importance < 0:
            raise SettingError(f"importance {self.importance} bits; choose 0 (drop none) or more")
        if self.components is not None and self.components < 1:
            raise SettingError(f"components {self.components}; choose 1 or more")
        if self.sample_rows < 2:
            raise SettingError(f"sample_rows {self.sample_rows}; choose 2 or more")
        if isinstance(self.wavelet, Mapping):
            object.__setattr__(self, "wavelet", _read_wavelet(self.wavelet))


def _read_wavelet(values: Mapping[str, object]) -> WaveletSettings:
    known = [each.name for each in fields(WaveletSettings)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise SettingError(
            f"wavelet has no setting {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(known)}"
        )
    return WaveletSettings(**values)  # type: ignore[arg-type]


def _require_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise SettingError(f"{name} {value} is not a share; choose more than 0 and at most 1")
