"""Step 1 says what numpy and pandas say of the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.schema import CITIES, FRUITS, NUMERIC, Partition
from labkit.preprocess.statistics import TASKS_PER_PARTITION, describe
from labkit.preprocess.tasks import InThisProcess


@pytest.fixture(scope="module")
def rows(read_partitions: list[Partition]) -> pd.DataFrame:
    return pd.concat([partition.frame for partition in read_partitions], ignore_index=True)


def test_six_figures_of_every_column(read_partitions: list[Partition], rows: pd.DataFrame) -> None:
    overall, _ = describe(InThisProcess(), read_partitions)
    for column in NUMERIC:
        values = rows[column].to_numpy()
        found = overall[column]
        assert found["count"] == np.isfinite(values).sum()
        assert found["missing"] == np.isnan(values).sum()
        assert found["min"] == np.nanmin(values)
        assert found["max"] == np.nanmax(values)
        assert found["median"] == np.nanmedian(values)
        assert found["mean"] == pytest.approx(np.nanmean(values), rel=1e-12)
        assert found["variance"] == pytest.approx(np.nanvar(values, ddof=1), rel=1e-9)
        assert found["std"] == pytest.approx(np.nanstd(values, ddof=1), rel=1e-9)


def test_figures_by_class(read_partitions: list[Partition], rows: pd.DataFrame) -> None:
    _, by_class = describe(InThisProcess(), read_partitions)
    assert list(by_class) == list(FRUITS)
    for code, name in enumerate(FRUITS):
        values = rows.loc[rows["fruit"] == code, "diameter_cm"]
        assert by_class[name]["diameter_cm"]["median"] == values.median()
        assert by_class[name]["diameter_cm"]["mean"] == pytest.approx(values.mean(), rel=1e-12)


def test_names_have_a_mode_and_counts(read_partitions: list[Partition], rows: pd.DataFrame) -> None:
    overall, _ = describe(InThisProcess(), read_partitions)
    counts = rows["city"].value_counts()
    assert overall["city"]["mode"] == CITIES[counts.idxmax()]
    assert overall["city"]["counts"] == {name: counts[code] for code, name in enumerate(CITIES)}
    assert overall["fruit"]["missing"] == (rows["fruit"] == -1).sum() > 0
    assert overall["fruit"]["mean"] is None


def test_an_empty_partition_changes_nothing(read_partitions: list[Partition]) -> None:
    empty = Partition(frame=read_partitions[0].frame.iloc[:0])
    with_empty = [empty, *read_partitions, empty]
    assert describe(InThisProcess(), with_empty) == describe(InThisProcess(), read_partitions)


def test_the_stated_number_of_tasks_is_right(read_partitions: list[Partition]) -> None:
    class Counting(InThisProcess):
        calls = 0

        def map(self, function, *parts, **settings):  # type: ignore[no-untyped-def]
            Counting.calls += len(parts[0])
            return super().map(function, *parts, **settings)

        collect = map

    describe(Counting(), read_partitions)
    assert Counting.calls == TASKS_PER_PARTITION * len(read_partitions)
