"""Which host can read a dataset, where workers are slow, lost or suspended; with tests/hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labkit.cluster import dataset_on_hosts
from labkit.cluster.dataset_on_hosts import look_for, reach_all_hosts
from labkit.cluster.workers import WorkersLate
from labkit.errors import ClusterError
from labkit.preprocess.manifest import MANIFEST_FILE
from labkit.runs import run as run_module
from labkit.runs.run import Run

FIRST, SECOND, OTHER = "tcp://10.1.0.1:1", "tcp://10.1.0.1:2", "tcp://10.1.0.2:1"
Answer = tuple[str, bool]


class Hosts:
    """Workers on two hosts, by what each says of the dataset; one that says nothing is late."""

    def __init__(self, answers: dict[str, Answer], unheard: list[str]) -> None:
        self.answers, self.unheard = answers, unheard
        self.asked: list[str] = []
        self.cluster: Any = SimpleNamespace(
            client=self,
            folder=Path("/lab"),
            datasets={},
            alive_workers=lambda: [FIRST, SECOND, OTHER],
            call_workers=self.call_workers,
        )

    def ask_scheduler(self, client: Any, function: Any, workers: list[str], *_: Any) -> list[str]:
        return [worker for worker in workers if worker in self.unheard]

    def ask_workers(self, client: Any, *_: Any, workers: list[str]) -> dict[str, Answer]:
        self.asked += workers
        if not set(workers) <= set(self.answers):
            raise WorkersLate("a worker did not answer")
        return {worker: self.answers[worker] for worker in workers}

    def call_workers(self, *_: Any, workers: list[str]) -> dict[str, Answer]:
        self.asked += workers
        return {worker: self.answers[worker] for worker in workers if worker in self.answers}


@pytest.fixture
def on_hosts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hosts]:
    def make(answers: dict[str, Answer], unheard: list[str] | None = None) -> Hosts:
        hosts = Hosts(answers, unheard or [])
        monkeypatch.setattr(dataset_on_hosts, "ask_scheduler", hosts.ask_scheduler)
        monkeypatch.setattr(dataset_on_hosts, "ask_workers", hosts.ask_workers)
        return hosts

    return make


def dataset_in(folder: str) -> Any:
    return SimpleNamespace(name="mine", folder=folder)


def test_a_host_that_does_not_answer_is_not_taken_for_one_that_can_read(
    on_hosts: Callable[..., Hosts],
) -> None:
    hosts = on_hosts({FIRST: ("", True)})
    with pytest.raises(WorkersLate):
        reach_all_hosts(dataset_in("/mine"), hosts.cluster)


def test_each_host_is_asked_by_a_worker_that_has_been_heard(on_hosts: Callable[..., Hosts]) -> None:
    hosts = on_hosts({SECOND: ("", True), OTHER: ("", False)}, unheard=[FIRST])
    reach_all_hosts(dataset_in("/mine"), hosts.cluster)
    assert sorted(hosts.asked) == [SECOND, OTHER]
    hosts = on_hosts({FIRST: ("", True), OTHER: ("", False)})
    reach_all_hosts(dataset_in("/mine"), hosts.cluster)
    assert sorted(hosts.asked) == [FIRST, OTHER]


def test_a_run_asks_only_the_hosts_that_it_is_on(on_hosts: Callable[..., Hosts]) -> None:
    hosts = on_hosts({OTHER: ("", False)})
    reach_all_hosts(dataset_in("/mine"), hosts.cluster, [OTHER])
    assert hosts.asked == [OTHER]


def test_the_labs_own_data_are_copied_from_whoever_has_them_and_answers(
    on_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        dataset_on_hosts, "_copy", lambda c, d, source, targets: copied.append((source, targets))
    )
    hosts = on_hosts({SECOND: ("", True), OTHER: ("it is not there", False)})
    reach_all_hosts(dataset_in("/lab/datasets/mine"), hosts.cluster, [OTHER])
    assert hosts.asked == [OTHER, FIRST, SECOND]
    assert copied == [(SECOND, [OTHER])]
    hosts = on_hosts({OTHER: ("it is not there", False)})
    with pytest.raises(ClusterError, match="the host that held dataset 'mine' is gone"):
        reach_all_hosts(dataset_in("/lab/datasets/mine"), hosts.cluster, [OTHER])


def test_a_worker_that_is_lost_meanwhile_is_said_to_be(
    on_hosts: Callable[..., Hosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any, **__: Any) -> None:
        raise OSError("connection closed")

    hosts = on_hosts({})
    monkeypatch.setattr(dataset_on_hosts, "ask_workers", lose)
    with pytest.raises(WorkersLate, match=r"was lost while .* \(connection closed\); try again"):
        reach_all_hosts(dataset_in("/mine"), hosts.cluster)


def test_a_folder_that_cannot_be_looked_into_is_a_reason(tmp_path: Path) -> None:
    why, at_home = look_for("/" + "x" * 300)
    assert "File name too long" in why
    (tmp_path / MANIFEST_FILE).write_text("{")
    why, at_home = look_for(str(tmp_path))
    assert why
    assert not at_home


def test_a_silent_host_does_not_fail_a_run_that_is_being_placed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those who watch the ranks start it again; data that are not there, though, fail it."""
    placing: Any = SimpleNamespace(workers=[FIRST, OTHER], placed_s=0.5)
    run: Any = SimpleNamespace(
        run="r", _dataset=None, _lock=threading.Lock(), _record=SimpleNamespace(startup_s={}),
        cluster=SimpleNamespace(shares_files=False, workers=[], backend="gloo", backend_why=""),
    )  # fmt: skip

    def answer(error: Exception) -> Callable[..., None]:
        def reach(*_: Any) -> None:
            raise error

        return reach

    monkeypatch.setattr(run_module, "reach_all_hosts", answer(WorkersLate("it is suspended")))
    Run._note_places(cast(Run, run), placing)
    assert "run r: it is suspended" in caplog.text
    assert [device["address"] for device in run._record.devices] == [FIRST, OTHER]
    monkeypatch.setattr(run_module, "reach_all_hosts", answer(ClusterError("it cannot read")))
    with pytest.raises(ClusterError, match="it cannot read"):
        Run._note_places(cast(Run, run), placing)
