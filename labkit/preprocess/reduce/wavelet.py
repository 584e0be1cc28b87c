"""Wavelets: a signal or an image as few coefficients that hold most of its energy.

An orthogonal wavelet turns n values into n coefficients with the same sum of squares (Parseval), of
which most are small: a coarse picture, and the differences that make it finer. The positions that
hold the chosen share of the energy of all training rows are kept, the fewest that will do; what is
lost in the picture is exactly the energy of the rest. Energies of positions are sums over rows, so
the parts' are added, in whole numbers as in ``covariance.py``: the same bits however rows are cut.

Source: Mallat 1989, doi:10.1109/34.192463. PyWavelets: Lee et al. 2019, doi:10.21105/joss.01237.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray

from labkit.errors import SettingError, SourceError
from labkit.preprocess.reduce.covariance import (
    BLOCK_ROWS,
    NUM_LEVELS,
    NUM_SLICES,
    Grid,
    add_whole,
    slices_of,
    weigh,
)
from labkit.preprocess.schema import column_values

MODE = "periodization"  # the only one that keeps as many coefficients as values, and their energy


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveletBasis:
    """An orthogonal change of basis for signals of one shape.

    Attributes:
        shape: of one signal.
        wavelet: its name in PyWavelets.
        levels: how often the signal is halved along every side.
    """

    shape: Sequence[int]
    wavelet: str
    levels: int

    @property
    def padded(self) -> list[int]:
        """The shape with zeros behind, so that every side can be halved as often as asked."""
        step = 2**self.levels
        return [-(-side // step) * step for side in self.shape]

    @property
    def num_positions(self) -> int:
        """Coefficients of one signal."""
        return math.prod(self.padded)

    def forward(self, signals: NDArray[Any]) -> NDArray[np.float64]:
        """(rows, *shape) signals to (rows, num_positions) coefficients."""
        values = np.asarray(signals, dtype=np.float64).reshape(-1, *self.shape)
        behind = [(0, new - old) for old, new in zip(self.shape, self.padded, strict=True)]
        values = np.pad(values, [(0, 0), *behind])
        array, _ = pywt.coeffs_to_array(self._decompose(values), axes=self._axes)
        coefficients: NDArray[np.float64] = array.reshape(-1, self.num_positions)
        return coefficients

    def backward(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, num_positions) coefficients to (rows, *shape) signals."""
        array = coefficients.reshape(-1, *self.padded)
        places = pywt.coeffs_to_array(self._decompose(np.zeros_like(array)), axes=self._axes)[1]
        found = pywt.array_to_coeffs(array, places, output_format="wavedecn")
        values = pywt.waverecn(found, self.wavelet, MODE, axes=self._axes)
        signals: NDArray[np.float64] = values[(slice(None), *map(slice, self.shape))]
        return signals

    def _decompose(self, values: NDArray[np.float64]) -> Any:
        return pywt.wavedecn(values, self.wavelet, MODE, level=self.levels, axes=self._axes)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.shape) + 1))


def wavelet_basis(shape: Sequence[int], wavelet: str, levels: int | None = None) -> WaveletBasis:
    """The basis for signals of this shape.

    Args:
        shape: of one signal; sides of 1 are left as they are by no wavelet, so give none.
        wavelet: name of an orthogonal one.
        levels: ``None``: as often as every side can be halved without zeros behind, at least once.
    Raises:
        SettingError: a wavelet that is unknown or not orthogonal; a side that is too short.
    """
    if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
        raise SettingError(
            f"wavelet {wavelet!r} is not an orthogonal wavelet of PyWavelets, so energies would "
            "not add up; choose haar, db2, sym4, coif1 or the like"
        )
    possible = int(pywt.dwtn_max_level(tuple(shape), wavelet)) if shape else 0
    if possible < 1 or possible < (levels or 1):
        raise SettingError(
            f"wavelet {wavelet!r} can halve signals of shape {tuple(shape)} {possible} times, not "
            f"{levels or 1}; choose a shorter wavelet such as haar, fewer levels, or longer signals"
        )
    if levels is None:
        even = [level for level in range(1, possible + 1) if not any(n % 2**level for n in shape)]
        levels = max(even, default=1)
    return WaveletBasis(shape=list(shape), wavelet=wavelet, levels=levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wavelet:
    """The coefficients that are kept, found from the training rows.

    Attributes:
        basis: the change of basis.
        positions: that are kept, the one of the most energy first.
        energy: share of each of those, falling.
        all_energy: the same of every position.
        columns: of a table that form the signal; empty for arrays.
        fill: what a gap in each of the columns counts as.
    """

    basis: WaveletBasis
    positions: Sequence[int]
    energy: Sequence[float]
    all_energy: Sequence[float]
    columns: Sequence[str] = ()
    fill: Sequence[float] = field(default=())

    @property
    def names(self) -> list[str]:
        """``wavelet_1`` and so on."""
        return [f"wavelet_{number}" for number in range(1, len(self.positions) + 1)]

    def signals_of(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """(rows, *shape) signals that the columns of a table hold; gaps are filled."""
        return signals_of(frame, self.columns, self.fill, self.basis.shape)

    def transform(self, signals: NDArray[Any]) -> NDArray[np.float64]:
        """(rows, *shape) signals to (rows, kept) coefficients."""
        return self.basis.forward(signals)[:, list(self.positions)]

    def invert(self, kept: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, kept) coefficients to (rows, *shape) signals, the others taken as 0."""
        coefficients = np.zeros((len(kept), self.basis.num_positions))
        coefficients[:, list(self.positions)] = kept
        return self.basis.backward(coefficients)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Wavelet:
        """The wavelet that ``to_dict`` wrote."""
        return cls(**{**values, "basis": WaveletBasis(**values["basis"])})


def signals_of(
    frame: pd.DataFrame, columns: Sequence[str], fill: Sequence[float], shape: Sequence[int]
) -> NDArray[np.float64]:
    """(rows, *shape) signals from columns, gaps filled."""
    values = np.stack([column_values(frame, name) for name in columns], axis=1)
    values = np.where(np.isfinite(values), values, np.asarray(fill))
    return values.reshape(-1, *shape)


def coefficient_grid(reach: float, num_positions: int) -> Grid:
    """The grid for coefficients of signals whose values are at most ``reach`` in size."""
    # no coefficient is larger than the length of the signal as a vector; 2 for rounding
    _, exponent = np.frexp(2 * reach * math.sqrt(num_positions))
    return Grid(np.zeros(1), np.full(1, exponent, dtype=np.int32))


def energies_of(coefficients: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """(NUM_LEVELS, positions) one part's sums of squares, as sums of products of slices."""
    levels = np.zeros((NUM_LEVELS, coefficients.shape[1]), dtype=np.int64)
    for start in range(0, len(coefficients), BLOCK_ROWS):
        slices = slices_of(coefficients[start : start + BLOCK_ROWS], grid)
        for left in range(NUM_SLICES):
            for right in range(NUM_SLICES):
                products = np.einsum("np,np->p", slices[left], slices[right])
                levels[left + right] += products.astype(np.int64)
    return levels


def keep_energy(
    basis: WaveletBasis,
    parts: Sequence[NDArray[Any]],
    share: float,
    *,
    columns: Sequence[str] = (),
    fill: Sequence[float] = (),
) -> Wavelet:
    """The fewest positions that hold this share of the energy of all parts.

    Raises:
        SourceError: the signals are 0 everywhere.
    """
    energies = weigh(add_whole(parts))  # whole numbers, exact
    total = sum(energies.tolist())
    if not total:
        raise SourceError(
            "the signals are 0 in every training row, so no coefficient holds energy; check the "
            "columns of [reduction] wavelet"
        )
    order = sorted(range(len(energies)), key=lambda place: (-energies[place], place))
    held, number = 0, 0
    while held < share * total * (1 - 1e-12) and number < len(order):
        held += energies[order[number]]
        number += 1
    shares = [float(energies[place] / total) for place in order]
    return Wavelet(
        basis=basis,
        positions=order[:number],
        energy=shares[:number],
        all_energy=[float(energy / total) for energy in energies],
        columns=list(columns),
        fill=list(fill),
    )


def fit_images(
    arrays: Sequence[NDArray[Any]],
    *,
    wavelet: str = "haar",
    energy: float = 0.95,
    levels: int | None = None,
) -> Wavelet:
    """The coefficients to keep of images or signals that lie in arrays.

    Args:
        arrays: parts, (rows, *shape) each, of training rows only, without gaps.
        wavelet: name of an orthogonal one.
        energy: share to keep, in (0, 1].
        levels: as in ``wavelet_basis``.
    Returns:
        To be used as ``fitted.transform(images)`` and ``fitted.invert(coefficients)``.
    Raises:
        SettingError: as in ``wavelet_basis``, or an energy that is no share.
        SourceError: no rows, or all are 0.
    """
    if not 0 < energy <= 1:
        raise SettingError(
            f"wavelet energy {energy} is not a share; choose more than 0 and at most 1"
        )
    if not sum(len(array) for array in arrays):
        raise SourceError("no image is given; give at least one")
    # sides of 1, such as the channel of grey images, cannot be halved and stay out of it
    shape = [side for side in arrays[0].shape[1:] if side > 1]
    basis = wavelet_basis(shape, wavelet, levels)
    reach = max(float(np.abs(array).max()) for array in arrays if len(array))
    grid = coefficient_grid(reach, basis.num_positions)
    return keep_energy(basis, [energies_of(basis.forward(array), grid) for array in arrays], energy)
