"""A cluster that is closed while parts of it do not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.cluster import Cluster


class DeafClient:
    """Of a scheduler that answers nobody; notes what it was told and asked all the same."""

    status = "running"
    id = "client"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.scheduler = self

    def subscribe_topic(self, topic: str, handler: Any) -> None:
        self.said.append(f"subscribe {topic}")

    def unsubscribe_topic(self, topic: str) -> None:
        self.said.append(f"unsubscribe {topic}")
        if topic == "all":
            raise OSError("it hung up")

    def sync(self, call: Any, *_: Any, **__: Any) -> None:
        self.said.append("ask")
        raise TimeoutError

    def close(self) -> None:
        self.status = "closed"

    def only_its_name_is_needed(self) -> None:
        raise AssertionError

    _run_on_scheduler = only_its_name_is_needed
    _unregister_worker_plugin = unregister_scheduler_plugin = only_its_name_is_needed


def test_what_fails_while_a_cluster_closes_is_told_and_keeps_nothing_else_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client: Any = DeafClient()
    cluster = Cluster(
        kind="existing", why="", client=client, owned=None, num_cores=None, name="lab",
        folder=Path("/nowhere"),
    )  # fmt: skip
    cluster.on_shared_storage = True
    client.said.clear()
    cluster.close()
    asked = ["ask"] * 3  # to remove the folder, and to withdraw two plugins
    assert client.said == ["unsubscribe all", "unsubscribe lab", *asked]
    assert client.status == "closed"
    assert "unsubscribe_topic failed: it hung up" in caplog.text
    assert "ask_scheduler failed: the scheduler did not answer" in caplog.text
