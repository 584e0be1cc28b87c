"""Wavelets keep the energy that was asked for, and what they lose is known exactly."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from labkit.errors import SettingError, SourceError
from labkit.preprocess.parts import parts_of
from labkit.preprocess.reduce.fitted import Reduction
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.reduce.step import reduce
from labkit.preprocess.reduce.wavelet import Wavelet, fit_images, wavelet_basis
from labkit.preprocess.report import plain
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import InThisProcess


@pytest.fixture(scope="module")
def digits() -> NDArray[np.float64]:
    """(1797, 8, 8) handwritten digits in [0, 1]."""
    images: NDArray[np.float64] = load_digits().images / 16
    return images


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "coif1"])
@pytest.mark.parametrize("shape", [(64,), (16, 16), (16, 24, 16), (24, 32)])
def test_energy_is_kept_and_the_way_back_is_exact(wavelet: str, shape: tuple[int, ...]) -> None:
    signals = np.random.default_rng(0).normal(size=(5, *shape))
    basis = wavelet_basis(shape, wavelet)
    coefficients = basis.forward(signals)
    assert coefficients.shape == (5, np.prod(shape))
    np.testing.assert_allclose(
        (coefficients**2).sum(axis=1), (signals.reshape(5, -1) ** 2).sum(axis=1), rtol=1e-9
    )
    np.testing.assert_allclose(basis.backward(coefficients), signals, atol=1e-9)


@pytest.mark.parametrize("shape", [(7,), (9, 13)])
def test_sides_that_cannot_be_halved_get_zeros_behind(shape: tuple[int, ...]) -> None:
    signals = np.random.default_rng(1).normal(size=(4, *shape))
    basis = wavelet_basis(shape, "haar")
    assert basis.padded == [side + 1 for side in shape]
    coefficients = basis.forward(signals)
    np.testing.assert_allclose(
        (coefficients**2).sum(axis=1), (signals.reshape(4, -1) ** 2).sum(axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(basis.backward(coefficients), signals, atol=1e-12)


def test_a_row_alone_has_the_bits_it_has_among_others(digits: NDArray[np.float64]) -> None:
    basis = wavelet_basis((8, 8), "db2")
    whole = basis.forward(digits)
    for row in (0, 1, 1796):
        assert basis.forward(digits[row : row + 1])[0].tobytes() == whole[row].tobytes()


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.95, 0.99, 1.0])
def test_what_is_lost_is_the_energy_of_the_coefficients_left_out(
    digits: NDArray[np.float64], energy: float
) -> None:
    fitted = fit_images([digits], energy=energy)
    kept = fitted.transform(digits)
    again = fitted.invert(kept)
    lost = float(((again - digits) ** 2).sum() / (digits**2).sum())
    assert lost == pytest.approx(1 - sum(fitted.energy), abs=1e-12)
    assert lost <= 1 - energy + 1e-9
    assert sum(fitted.energy[:-1]) < energy
    assert kept.shape == (len(digits), len(fitted.names))
    assert sum(fitted.all_energy) == pytest.approx(1)


def test_half_the_coefficients_hold_most_of_a_digit(digits: NDArray[np.float64]) -> None:
    fitted = fit_images([digits], energy=0.9)
    assert len(fitted.names) < 32
    assert list(fitted.energy) == sorted(fitted.energy, reverse=True)


@pytest.mark.parametrize("num_parts", [2, 9])
def test_any_number_of_parts_finds_the_same(digits: NDArray[np.float64], num_parts: int) -> None:
    parts = np.array_split(digits, num_parts)
    assert fit_images([digits]) == fit_images([*parts, digits[:0]])


def test_a_channel_of_one_and_single_precision_will_do(digits: NDArray[np.float64]) -> None:
    images = digits.astype(np.float32)[:, np.newaxis]
    fitted = fit_images([images])
    assert fitted.basis.shape == [8, 8]
    assert fitted.positions == fit_images([digits]).positions
    assert fitted.transform(images).shape == (len(images), len(fitted.names))


def test_it_outlives_json(digits: NDArray[np.float64]) -> None:
    fitted = fit_images([digits])
    again = Wavelet.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    np.testing.assert_array_equal(again.transform(digits), fitted.transform(digits))


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((8, 8), {"wavelet": "gaus1"}, "wavelet 'gaus1' is not an orthogonal wavelet"),
        ((8, 8), {"wavelet": "bior2.2"}, "wavelet 'bior2.2' is not an orthogonal wavelet"),
        ((8, 8), {"levels": 4}, r"can halve signals of shape \(8, 8\) 3 times, not 4"),
        ((4,), {"wavelet": "db4"}, r"can halve signals of shape \(4,\) 0 times, not 1"),
        ((1,), {}, r"can halve signals of shape \(\) 0 times"),
        ((8,), {"energy": 0.0}, "wavelet energy 0.0 is not a share"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        fit_images([np.ones((2, *shape))], **settings)


def test_nothing_to_see_is_refused() -> None:
    with pytest.raises(SourceError, match="no image is given"):
        fit_images([np.ones((0, 8, 8))])
    with pytest.raises(SourceError, match="the signals are 0 in every training row"):
        fit_images([np.zeros((3, 8, 8))])


def table_of(digits: NDArray[np.float64]) -> tuple[pd.DataFrame, Schema]:
    """The digits as a table with a number column a pixel, one measure beside, and the label."""
    pixels = [f"pixel_{place}" for place in range(64)]
    frame = pd.DataFrame(digits.reshape(-1, 64), columns=pixels)
    frame.insert(0, KEY, np.arange(len(frame)))
    frame["ink"] = digits.sum(axis=(1, 2))
    frame["digit"] = load_digits().target.astype(np.int32)
    names = tuple(str(digit) for digit in range(10))
    columns = [*(Column(name=name) for name in (*pixels, "ink"))]
    label = Column(name="digit", kind="category", names=names)
    return frame, Schema(columns=(*columns, label), label="digit")


def run(frame: pd.DataFrame, schema: Schema, num_parts: int = 3, **wavelet: Any) -> StepResult:
    settings = ReductionSettings(wavelet={"columns": ["pixel_*"], **wavelet})  # type: ignore[arg-type]
    return reduce(InThisProcess(), parts_of(frame, num_parts), schema, settings, len(frame))


def test_columns_of_a_table_are_a_signal_like_any(digits: NDArray[np.float64]) -> None:
    frame, schema = table_of(digits)
    result = run(frame, schema, shape=[8, 8], energy=0.9)
    train = ~is_test(frame[KEY].to_numpy())
    expected = fit_images([digits[train]], energy=0.9)
    assert isinstance(result.fitted, Reduction)
    wavelet = result.fitted.wavelet
    assert wavelet is not None
    assert wavelet.positions == expected.positions
    assert wavelet.energy == expected.energy
    reduced = pd.concat([part.load() for part in result.parts])
    assert reduced.columns.tolist() == [KEY, "component_1", *wavelet.names, "digit"]
    np.testing.assert_array_equal(reduced[wavelet.names], expected.transform(digits))
    assert [column.name for column in result.schema.columns] == reduced.columns.tolist()[1:]
    assert "signals of 64 values became" in result.note
    assert result.details["wavelet"]["lost"] == pytest.approx(1 - sum(expected.energy))
    again = Reduction.from_dict(json.loads(json.dumps(result.fitted.to_dict())))
    pd.testing.assert_frame_equal(again.apply(frame), result.fitted.apply(frame))


def test_a_table_alone_of_signals_is_drawn_by_its_coefficients(
    digits: NDArray[np.float64],
) -> None:
    frame, schema = table_of(digits)
    small = Schema(
        columns=tuple(column for column in schema.columns if column.name != "ink"), label="digit"
    )
    one, many = (run(frame, small, parts, shape=[8, 8]) for parts in (1, 6))
    assert one.picture["axes"] == ["wavelet_1", "wavelet_2"]
    assert one.picture["energy"]["held"][-1] == pytest.approx(1)
    assert plain(one.picture) == plain(many.picture)
    assert plain(one.details) == plain(many.details)


def test_gaps_in_a_signal_are_filled_with_the_mean(digits: NDArray[np.float64]) -> None:
    frame, schema = table_of(digits)
    frame.loc[3, "pixel_20"] = np.nan
    result = run(frame, schema, shape=[8, 8])
    assert isinstance(result.fitted, Reduction)
    assert result.fitted.wavelet is not None
    train = ~is_test(frame[KEY].to_numpy())
    assert result.fitted.wavelet.fill[20] == pytest.approx(frame.loc[train, "pixel_20"].mean())
    assert np.isfinite(result.fitted.apply(frame).to_numpy(dtype=float)).all()


@pytest.mark.parametrize(
    ("wavelet", "message"),
    [
        ({"shape": [8, 9]}, r"wavelet shape \(8, 9\) holds 72 values, but its columns are 64"),
        ({"columns": ["dot_*"]}, "wavelet columns name 'dot_.', which no number column is"),
        ({"columns": []}, "wavelet names no columns"),
    ],
)
def test_a_signal_that_is_not_there_is_refused(
    digits: NDArray[np.float64], wavelet: dict[str, Any], message: str
) -> None:
    frame, schema = table_of(digits)
    with pytest.raises(SettingError, match=message):
        run(frame, schema, **wavelet)


def test_a_signal_of_gaps_alone_is_refused(digits: NDArray[np.float64]) -> None:
    frame, schema = table_of(digits)
    frame[[name for name in frame if name.startswith("pixel_")]] = np.nan
    with pytest.raises(SourceError, match="the signals are 0 in every training row"):
        run(frame, schema)
