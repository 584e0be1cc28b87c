"""Training data that lies ready on the workers' host, and the report of how it came to be."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Preprocessed, sharded training data.

    Attributes:
        name: short name.
        folder: where the shards and their manifest lie, on the workers' host.
        manifest: what the shards hold, see ``shards.py``.
        report: how each preprocessing step changed the data, see ``report.py``.
    """

    name: str
    folder: str
    manifest: Mapping[str, Any]
    report: Mapping[str, Any]

    @property
    def num_samples(self) -> int:
        """Samples of the training split."""
        return self._rows("train")

    @property
    def num_test_samples(self) -> int:
        """Samples of the test split."""
        return self._rows("test")

    def treat(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """Inputs for new rows, treated as the test rows were; see ``treat.treat``."""
        from labkit.preprocess.treat import treat

        return treat(self.manifest, rows)

    def report_html(self) -> str:
        """The report as one page, with pictures."""
        from labkit.preprocess.report_html import report_html

        return report_html(self.report, self.manifest)

    def to_json(self) -> dict[str, Any]:
        """The report in the form of the command line's ``preprocess --json``; plain values."""
        return copy.deepcopy(dict(self.report))

    def _rows(self, split: str) -> int:
        return sum(entry["rows"] for entry in self.manifest["shards"] if entry["split"] == split)
