"""The lab as a whole: header, display, theme, life."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.figures.style import DARK
from widgets import Lab

DEADLINE_S = 20.0
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every bundle that was displayed or updated."""
    bundles: list[dict[str, Any]] = []

    def display(bundle: dict[str, Any], **_: Any) -> Any:
        bundles.append(bundle)
        return SimpleNamespace(update=lambda newer, raw: bundles.append(newer))

    monkeypatch.setattr("widgets.lab.display", display)
    return bundles


def test_header_says_the_state_and_that_all_is_measured(lab: Lab) -> None:
    header = lab.widget.children[0]
    assert '<span class="lab-chip " role="status">no workers yet</span>' in header.value
    assert "MEASURED: real ranks, real clock" in header.value
    lab.cluster_panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    assert 'role="status">ready</span>' in header.value
    assert repr(lab) == "Distributed training lab: ready"


def test_nothing_is_there_before_the_buttons_are_pressed(lab: Lab) -> None:
    assert (lab.cluster, lab.dataset, lab.run, lab.curve) == (None, None, None, None)


def test_display_is_a_view_with_text_and_later_a_picture(
    lab: Lab, shown: list[dict[str, Any]]
) -> None:
    lab._ipython_display_()
    assert shown[0][VIEW]["model_id"] == lab.widget.model_id
    assert shown[0]["text/plain"] == "Distributed training lab: no workers yet"
    assert "image/png" not in shown[0]
    lab.cluster_panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    lab.compare_panel.sweep.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert shown[-1][VIEW] == shown[0][VIEW]
    assert "Speedup of fruit, 12 of 12 points" in shown[-1]["text/plain"]
    assert base64.b64decode(shown[-1]["image/png"]).startswith(b"\x89PNG")


def test_saved_picture_is_sent_only_when_it_changed(
    launched: Lab, shown: list[dict[str, Any]]
) -> None:
    launched.compare_panel.sweep.start_button.click()
    launched.wait_idle(DEADLINE_S)
    launched._ipython_display_()
    launched.wait_idle(DEADLINE_S)
    number = len(shown)
    launched.wait_idle(DEADLINE_S)
    assert len(shown) == number


def test_every_picture_has_an_alternative_text(launched: Lab) -> None:
    launched.compare_panel.sweep.start_button.click()
    launched.wait_idle(DEADLINE_S)
    alts = launched.accessibility.alts
    assert alts["lab-picture-speedup"].startswith("Speedup of fruit")
    shown = {name for panel in launched.panels for name in _shown(panel)}
    assert shown == {
        "lab-picture-cluster",
        "lab-picture-mesh",
        "lab-picture-speedup",
        "lab-picture-efficiency",
    }
    assert all(alts[name] for name in shown)


def _shown(panel: Any) -> list[str]:
    return [image.css_class for image in panel.images if image.png]


def test_dark_page_draws_dark_pictures(launched: Lab) -> None:
    launched.compare_panel.sweep.start_button.click()
    launched.wait_idle(DEADLINE_S)
    light = launched.compare_panel.sweep.picture.png
    launched.accessibility.dark = True
    launched.wait_idle(DEADLINE_S)
    assert launched.state.theme is DARK
    assert launched.compare_panel.sweep.picture.png != light


def test_existing_cluster_is_used_and_left_open(launched: Lab, engine: Any) -> None:
    cluster = launched.cluster
    second = Lab(
        cluster, engine=engine, runs=launched.state.store.folder
    )  # closes the first lab, as a cell run again would
    assert second.cluster is cluster
    assert second.cluster_panel.launch_button.disabled
    closed = list(engine.closed)
    second.close()
    assert engine.closed == closed


def test_new_lab_closes_the_one_before(launched: Lab, engine: Any) -> None:
    second = Lab(engine=engine, runs=launched.state.store.folder)
    assert engine.closed == [4]
    assert repr(launched) == "Distributed training lab: closed"
    second.close()


def test_close_can_be_called_again(launched: Lab, engine: Any) -> None:
    launched.close()
    launched.close()
    assert engine.closed == [4]


def test_waiting_has_a_deadline(lab: Lab, engine: Any) -> None:
    engine.gate.clear()
    lab.cluster_panel.launch_button.click()
    assert engine.started.wait(DEADLINE_S)
    with pytest.raises(TimeoutError, match="launch is still at work after 0 s"):
        lab.wait_idle(0.01)
    engine.gate.set()
    lab.wait_idle(DEADLINE_S)
