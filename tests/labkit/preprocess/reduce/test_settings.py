"""Settings of reduction that cannot be meant are refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.reduce.settings import FILTERS, ReductionSettings, WaveletSettings
from labkit.preprocess.step import read_settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"drop": ["useless"]}, "drop names 'useless'; choose from unordered, constant"),
        ({"method": "lda"}, "method 'lda' is unknown; choose from pca, pca_sampled, none"),
        ({"explained": 0.0}, "explained 0.0 is not a share; choose more than 0 and at most 1"),
        ({"explained": 95}, "explained 95 is not a share"),
        ({"correlation": 1.5}, "correlation 1.5 is not a share"),
        ({"identifier_share": -1}, "identifier_share -1 is not a share"),
        ({"importance": -0.1}, "importance -0.1 bits; choose 0"),
        ({"components": 0}, "components 0; choose 1 or more"),
        ({"sample_rows": 1}, "sample_rows 1; choose 2 or more"),
        ({"wavelet": {"energy": 2}}, "wavelet energy 2 is not a share"),
        ({"wavelet": {"shape": [0, 8]}}, r"wavelet shape \(0, 8\): every side"),
        ({"wavelet": {"levels": 0}}, "wavelet levels 0; choose 1 or more"),
        ({"wavelet": {"kind": "haar"}}, "wavelet has no setting 'kind'; choose from columns"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_settings(ReductionSettings, values, "[reduction]")


def test_settings_are_read_as_they_stand_in_a_file() -> None:
    values = {"keep": ["a"], "wavelet": {"columns": ["p_*"], "shape": [8, 8], "energy": 0.9}}
    settings = read_settings(ReductionSettings, values, "[reduction]")
    assert settings.keep == ("a",)
    assert settings.drop == FILTERS
    assert settings.wavelet == WaveletSettings(columns=("p_*",), shape=(8, 8), energy=0.9)
