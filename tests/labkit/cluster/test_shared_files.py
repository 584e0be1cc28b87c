"""What one process cannot see, a worker is asked for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster import shared_files
from labkit.cluster.shared_files import ask_a_worker
from labkit.errors import ClusterError, SettingError


def cluster(workers: list[str], status: str = "running") -> Any:
    return SimpleNamespace(client=SimpleNamespace(status=status), alive_workers=lambda: workers)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers that were asked; those that are called silent do not answer."""
    asked: list[str] = []

    def ask(client: Any, function: Callable[..., Any], *args: Any, **how: Any) -> dict[str, Any]:
        (worker,) = how["workers"]
        asked.append(worker)
        if "silent" in worker:
            raise ClusterError("a worker did not answer within 5 s")
        return {worker: function(*args)}

    monkeypatch.setattr(shared_files, "ask_workers", ask)
    return asked


def test_the_first_worker_that_answers_is_enough(asked: list[str]) -> None:
    assert ask_a_worker(cluster(["silent", "well", "other"]), len, "four") == 4
    assert asked == ["silent", "well"]


def test_what_the_function_raises_is_raised_here(asked: list[str]) -> None:
    def refuse() -> None:
        raise SettingError("others may write to it")

    with pytest.raises(SettingError, match="others may write"):
        ask_a_worker(cluster(["well", "other"]), refuse)
    assert asked == ["well"]


def test_the_only_worker_may_be_coming_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_files, "ASK_EVERY_S", 0.01)
    there = iter([[], ["silent"], ["well"]])
    coming = cluster([])
    coming.alive_workers = lambda: next(there)
    assert ask_a_worker(coming, len, "four") == 4


def test_when_none_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_files, "PATIENT_S", 0.0)
    with pytest.raises(ClusterError, match=r"no worker of the cluster says .*within 5 s\); see"):
        ask_a_worker(cluster(["silent"]), len, "four")
    with pytest.raises(ClusterError, match=r"\(it has none now\); see that its workers are there"):
        ask_a_worker(cluster([]), len, "four")
