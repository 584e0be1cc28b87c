"""What reduction found, as a function of rows: training, test and new data go through the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.reduce.components import Components
from labkit.preprocess.reduce.wavelet import Wavelet
from labkit.preprocess.schema import KEY, SOURCE, column_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """The fitted step.

    Attributes:
        components: in place of the number columns; ``None`` where there are none, or where they go
            on as they are.
        passed: number columns that go on as they are, with the mean that fills a gap.
        wavelet: in place of the columns of a signal.
        carried: categories and texts that go on, and the label, which new data need not have.
        dropped: by column, why it was left out.
    """

    components: Components | None = None
    passed: Mapping[str, float] = field(default_factory=dict)
    wavelet: Wavelet | None = None
    carried: Sequence[str] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The number columns that come out, in order."""
        components = self.components.names if self.components else []
        return [*components, *self.passed, *(self.wavelet.names if self.wavelet else [])]

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with components in place of their columns; key, source and label stay."""
        columns: dict[str, NDArray[Any]] = {
            name: frame[name].to_numpy() for name in (KEY, SOURCE) if name in frame
        }
        if self.components:
            projected = self.components.project(frame)
            columns |= dict(zip(self.components.names, projected, strict=True))
        for name, mean in self.passed.items():
            values = column_values(frame, name)
            columns[name] = np.where(np.isfinite(values), values, mean)
        if self.wavelet:
            kept = self.wavelet.transform(self.wavelet.signals_of(frame))
            columns |= dict(zip(self.wavelet.names, kept.T, strict=True))
        columns |= {name: frame[name].to_numpy() for name in self.carried if name in frame}
        return pd.DataFrame(columns, index=frame.index)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "components": self.components.to_dict() if self.components else None,
            "passed": dict(self.passed),
            "wavelet": self.wavelet.to_dict() if self.wavelet else None,
            "carried": list(self.carried),
            "dropped": dict(self.dropped),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reduction:
        """The step that ``to_dict`` wrote."""
        components, wavelet = values["components"], values["wavelet"]
        return cls(
            components=Components.from_dict(components) if components else None,
            passed=dict(values["passed"]),
            wavelet=Wavelet.from_dict(wavelet) if wavelet else None,
            carried=list(values["carried"]),
            dropped=dict(values["dropped"]),
        )
