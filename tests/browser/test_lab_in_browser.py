"""A person with a browser: every button of the lab, in JupyterLab, over the real engine."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

TIMEOUT_S = 600  # with the wait for hosts
pytestmark = [pytest.mark.browser, pytest.mark.timeout(TIMEOUT_S)]

RUNNING = re.compile("running")
STOP_S = 2.0
FRAMES = 5
CUT_OFF = """card => [...card.querySelectorAll(".lm-TabBar-tabLabel")]
    .filter(label => label.scrollWidth > label.clientWidth)
    .map(label => label.textContent)"""
LONG_MS = 60_000


def test_a_person_launches_preprocesses_trains_stops_and_sweeps(
    lab: Any, server: Any, watched: Any, shots: Path
) -> None:
    launch(lab)
    preprocess(lab, shots)
    shape_the_plan(lab)
    train_and_stop(lab, shots)
    look_in_the_dark(lab, shots)
    sweep(lab, shots)
    save(lab, server.root / "00_the_lab.ipynb")
    assert not watched.outside, f"asked for addresses outside loopback: {watched.outside}"
    assert not watched.own_errors()


def launch(lab: Any) -> None:
    """Drag the Workers slider to the left end and back to 4 by keys, then launch, twice."""
    workers = lab.slider("Cluster", "Workers")
    box = workers.bounding_box()
    assert box is not None
    lab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] - 300, box["y"] + 4, steps=6)
    lab.page.mouse.up()
    expect(workers).to_have_attribute("aria-valuetext", "1")
    workers.focus()
    for _ in range(3):
        lab.page.keyboard.press("ArrowRight")
    expect(workers).to_have_attribute("aria-valuetext", "4")
    lab.card("Cluster").get_by_role("button", name="Launch", exact=True).dblclick()
    lab.wait_ready()
    expect(lab.card("Cluster").get_by_role("row")).to_have_count(1 + 4)


def preprocess(lab: Any, shots: Path) -> None:
    """Sources flow through the steps that are on; each step is looked at; the page is saved."""
    data = lab.card("Data")
    choose_what_to_preprocess(lab, data)
    lab.press("Data", "Preprocess")
    expect(lab.state).to_have_text(RUNNING)
    strips = data.get_by_role("group", name="Tasks by step")
    expect(strips).to_be_visible()
    picture = data.get_by_role("img", name=re.compile("rows out, through"))
    expect(picture).to_be_visible(timeout=LONG_MS)
    lab.wait_ready()
    expect(picture).to_have_attribute("alt", re.compile("transformation$"))
    progress = data.get_by_role("progressbar", name="Progress")
    expect(progress).to_have_attribute("aria-valuenow", "100")
    expect(data.get_by_role("group", name="Data quality")).to_contain_text("100 %")
    look_at_a_step(lab, data, shots)
    lab.press("Data", "Save report")
    link = data.get_by_role("link", name=re.compile(r"report\.html$"))
    expect(link).to_be_visible(timeout=LONG_MS)
    expect(link).to_have_attribute("href", re.compile(r"/files/.*report\.html$"))


def choose_what_to_preprocess(lab: Any, data: Any) -> None:
    """A source without a name cannot be started; a step that is off says what that means."""
    data.get_by_role("button", name="files", exact=True).click()
    expect(data.get_by_role("alert")).to_contain_text("Files is empty")
    expect(data.get_by_role("textbox", name="Files")).to_be_visible()
    expect(data.get_by_role("button", name="Preprocess", exact=True)).to_be_disabled()
    data.get_by_role("button", name="fruit", exact=True).click()
    expect(data.get_by_role("slider", name="Fruits")).to_be_visible()
    reduction = data.get_by_role("checkbox", name="Reduction")
    reduction.uncheck()
    reasons = data.get_by_role("list", name=re.compile("Steps that are off"))
    expect(reasons).to_contain_text("Without reduction: every column goes on")
    expect(data.get_by_role("button", name="Reduction: off")).to_be_visible()
    reduction.check()
    expect(reasons).to_have_count(0)
    expect(data.get_by_role("button", name="Preprocess", exact=True)).to_be_enabled()


def look_at_a_step(lab: Any, data: Any, shots: Path) -> None:
    """The large picture of a step, and of another column of it."""
    data.get_by_role("button", name="cleaning", exact=True).click()
    large = data.get_by_role("img", name=re.compile("^Cleaning of "))
    expect(large).to_be_visible(timeout=LONG_MS)
    data.get_by_role("combobox", name="Column").select_option("weight_g")
    weight = data.get_by_role("img", name=re.compile(r"^Cleaning of weight \(g\)"))
    expect(weight).to_be_visible(timeout=LONG_MS)
    lab.shoot(shots / "data.png", "Data")
    data.get_by_role("button", name="overview", exact=True).click()
    expect(data.get_by_role("img", name=re.compile("rows out, through"))).to_be_visible()


def shape_the_plan(lab: Any) -> None:
    """An impossible plan is explained beside the control, and cannot be trained."""
    train = lab.card("Train")
    train.get_by_role("button", name="hybrid", exact=True).click()
    expect(train.get_by_role("note", name="Plan")).to_contain_text("dp=2 pp=2 tp=1, 4 ranks")
    lab.slider("Train", "tp (tensor)").focus()
    lab.page.keyboard.press("ArrowRight")
    expect(train.get_by_role("alert")).to_contain_text("= 8 but 4 devices are available")
    expect(train.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    lab.page.keyboard.press("ArrowLeft")
    expect(train.get_by_role("note", name="Plan")).to_contain_text("dp=2 pp=2 tp=1")
    lab.slider("Train", "Steps").focus()
    lab.page.keyboard.press("End")
    expect(train.get_by_role("note", name="Plan")).to_contain_text("1000 steps")


def train_and_stop(lab: Any, shots: Path) -> None:
    """Both pictures move, another cell runs meanwhile, and Stop takes at most two seconds."""
    lab.press("Train", "Train")
    loss = lab.card("Train").get_by_role("img", name=re.compile(r"Loss of fruit .*step \d+ of"))
    timeline = lab.card("Train").get_by_role("img", name=re.compile("Timeline of 4 ranks, steps"))
    expect(loss).to_be_visible(timeout=LONG_MS)
    expect(timeline).to_be_visible(timeout=LONG_MS)
    assert lab.frames_of(loss, FRAMES) >= FRAMES
    assert lab.frames_of(timeline, FRAMES) >= FRAMES
    assert not lab.card("Train").evaluate(CUT_OFF), "labels of tabs that are cut off"
    cell = lab.run_cell(1)
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[2\]"))
    expect(lab.state).to_have_text("train running")  # the ranks worked on meanwhile
    lab.shoot(shots / "training.png")
    kill_the_leader(lab, shots)
    assert lab.frames_of(loss, FRAMES) >= FRAMES, "the run goes on"
    taken_s = stop(lab)
    if taken_s > STOP_S:  # another process may have had the cores just then
        lab.press("Train", "Train")
        assert lab.frames_of(loss, FRAMES) >= FRAMES
        taken_s = stop(lab)
    assert taken_s <= STOP_S, f"Stop took {taken_s:.1f} s"
    lab.open("Train", "Where the time went")
    expect(lab.card("Train").get_by_role("img", name=re.compile("time of fruit"))).to_be_visible()
    expect(lab.page.get_by_role("log", name="Log")).to_contain_text("train: stopped")


def stop(lab: Any) -> float:
    """Seconds from the press of Stop until the lab is ready."""
    begun_s = time.monotonic()
    lab.press("Train", "Stop")
    expect(lab.state).to_have_text("ready")
    return time.monotonic() - begun_s


def kill_the_leader(lab: Any, shots: Path) -> None:
    """The map shows who leads; once that rank is killed, what happened is said and read out."""
    cluster = lab.card("Cluster")
    picture = cluster.get_by_role("img", name=re.compile("^Map of 4 workers"))
    expect(picture).to_have_attribute("alt", re.compile("leads term 1"))
    assert lab.frames_of(picture, FRAMES) >= FRAMES, "the map moves"
    lab.press("Cluster", "Kill leader")
    happened = cluster.get_by_role("status", name="What happened")
    told = re.compile(r"you killed rank \d, the leader\. Noticed after .* going on after")
    expect(happened).to_have_text(told, timeout=LONG_MS)
    expect(cluster.get_by_role("note", name="Restarts")).to_contain_text("1 restart of this run")
    lab.shoot(shots / "attacked.png", "Cluster")


def look_in_the_dark(lab: Any, shots: Path) -> None:
    """The map follows the reader's system, and the page with it."""
    picture = lab.card("Cluster").get_by_role("img", name=re.compile("^Map of 4 workers"))
    light = picture.get_attribute("src")
    lab.prefer("dark")
    expect(picture).not_to_have_attribute("src", light or "")
    lab.shoot(shots / "dark.png", "Cluster")
    lab.prefer("light")


def sweep(lab: Any, shots: Path) -> None:
    """Points appear one by one; the table has them all at the end."""
    compare = lab.card("Compare")
    compare.get_by_role("combobox", name="Workload").select_option("digits")
    lab.slider("Compare", "Repeats").focus()
    lab.page.keyboard.press("Home")
    lab.slider("Compare", "Steps").focus()
    lab.page.keyboard.press("Home")
    expect(compare.get_by_role("note", name="Sweep plan")).to_contain_text("8 runs of 4 steps")
    lab.press("Compare", "Sweep")
    numbers = set()
    picture = compare.get_by_role("img", name=re.compile(r"Speedup of digits, \d+ of 12 points"))
    expect(picture).to_be_visible(timeout=LONG_MS)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and 12 not in numbers:
        found = re.search(r"(\d+) of 12", picture.get_attribute("alt") or "")
        numbers.add(int(found[1]) if found else 0)
        lab.page.wait_for_timeout(60)
    assert 12 in numbers
    assert len(numbers) >= 4, f"points did not appear one by one: {sorted(numbers)}"
    lab.wait_ready()
    expect(compare.get_by_role("row")).to_have_count(1 + 1 + 8)
    lab.shoot(shots / "swept.png")


def save(lab: Any, path: Path) -> None:
    """A saved notebook holds the pictures for readers without a kernel, and no widget state."""
    said, deadline = "", time.monotonic() + 30
    while time.monotonic() < deadline and "12 of 12 points" not in said:
        lab.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        lab.page.wait_for_timeout(200)
        notebook = json.loads(path.read_text())
        cell = next(cell for cell in notebook["cells"] if cell["id"] == "lab")
        saved = cell["outputs"][0]["data"] if cell["outputs"] else {}
        said = "".join(saved.get("text/plain", ""))
    assert "Speedup of digits, 12 of 12 points" in said
    assert "image/png" in saved
    assert "widgets" not in notebook["metadata"]
