"""A person with a browser and two cores: eight emulated devices, and what was kept compared."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

TIMEOUT_S = 600  # with the wait for hosts
pytestmark = [pytest.mark.browser, pytest.mark.timeout(TIMEOUT_S)]

LONG_MS = 120_000
UNNAMED = """root => [...root.querySelectorAll(
    "input, select, textarea, button, [role=slider], [role=tab], [role=button]"
)].filter(control => {
    const label = root.querySelector(`label[for="${control.id}"]`) ?? control.closest("label");
    const name = control.getAttribute("aria-label") ?? label?.textContent ?? control.textContent;
    return control.getClientRects().length && !name.trim();
}).map(control => control.outerHTML)"""
SWEEP_S = 240.0


def test_a_person_emulates_eight_devices_and_exports_a_comparison(
    lab: Any, server: Any, watched: Any, shots: Path
) -> None:
    launch_eight(lab)
    choose_a_plan(lab, shots)
    train_emulated(lab, shots)
    check_parity(lab, shots)
    sweep_emulated(lab, shots)
    compare_stored(lab, server.root / "runs", shots)
    assert not watched.outside, f"asked for addresses outside loopback: {watched.outside}"
    assert not watched.own_errors()


def launch_eight(lab: Any) -> None:
    """Sixteen are possible; eight are enough."""
    workers = lab.slider("Cluster", "Workers")
    lab.slide("Cluster", "Workers", "End")
    expect(workers).to_have_attribute("aria-valuetext", "16")
    for _ in range(8):
        lab.page.keyboard.press("ArrowLeft")
    expect(workers).to_have_attribute("aria-valuetext", "8")
    lab.press("Cluster", "Launch")
    lab.wait_ready(LONG_MS)


def choose_a_plan(lab: Any, shots: Path) -> None:
    """A strategy, sliders, a folded setting; what is impossible cannot be chosen and says why."""
    train = lab.card("Train")
    plan = train.get_by_role("note", name="Plan", exact=True)
    train.get_by_role("combobox", name="Workload").select_option("digits")
    train.get_by_role("button", name="tensor", exact=True).click()
    expect(plan).to_contain_text("digits, tensor: dp=1 pp=1 tp=8")
    train.get_by_role("button", name="hybrid", exact=True).click()
    expect(plan).to_contain_text("dp=4 pp=2 tp=1, 8 ranks")
    lab.unfold("Data parallel")
    sync = train.get_by_role("combobox", name="Sync", exact=True)
    expect(sync).to_be_disabled()
    expect(train.get_by_role("list", name=re.compile("^Data parallel"))).to_contain_text(
        "is for data parallelism alone"
    )
    train.get_by_role("combobox", name="Workload").select_option("branches")
    expect(train.get_by_role("button", name="tensor", exact=True)).to_be_disabled()
    train.get_by_role("combobox", name="Workload").select_option("digits")
    expect(train.get_by_role("button", name="tensor", exact=True)).to_be_enabled()
    lab.slide("Train", "pp (pipeline)", "ArrowRight")
    expect(train.get_by_role("alert")).to_contain_text("= 12 but 8 devices are available")
    lab.slide("Train", "pp (pipeline)", "ArrowLeft")
    train.get_by_role("button", name="emulated", exact=True).click()
    expect(plan).to_contain_text("12 steps of 256 samples, emulated on demo")
    lab.press("Train", "Predict")
    lab.wait_ready(LONG_MS)
    expect(train).to_contain_text("a step on demo")
    expect(train.get_by_role("img", name=re.compile("^Who holds what"))).to_be_visible()
    lab.unfold("Pipeline")
    schedule = train.get_by_role("combobox", name="Schedule", exact=True)
    schedule.select_option("zero_bubble")
    expect(plan).to_contain_text("8 microbatches by zero_bubble")
    lab.shoot(shots / "plan.png", "Train")
    assert lab.page.locator(".lab-root").evaluate(UNNAMED) == []


def train_emulated(lab: Any, shots: Path) -> None:
    """The banner says what the clock is; the pipeline is laid over its ideal."""
    train = lab.card("Train")
    lab.slide("Train", "Steps", "Home")
    lab.press("Train", "Train")
    banner = train.get_by_role("note", name="Kind of run").first
    expect(banner).to_contain_text("EMULATED on demo", timeout=LONG_MS)
    lab.wait_ready(LONG_MS)
    expect(banner).to_contain_text("late")
    expect(lab.page.locator(".lab-kind")).to_contain_text("EMULATED on demo")
    lab.shoot(shots / "emulated.png", "Train")
    lab.open("Train", "Where the time went")
    expect(train.get_by_role("img", name=re.compile("ideal"))).to_be_visible()
    lab.shoot(shots / "time.png", "Train")
    lab.open("Train", "Bytes & memory")
    lab.shoot(shots / "bytes.png", "Train")


def check_parity(lab: Any, shots: Path) -> None:
    """The badge, and the exports with links that work."""
    train = lab.card("Train")
    lab.press("Train", "Check against one process")
    badge = train.get_by_role("status", name="Parity")
    expect(badge).to_contain_text("Equal to one process", timeout=LONG_MS)
    lab.wait_ready()
    lab.press("Train", "Export trace")
    link = train.get_by_role("link", name=re.compile("trace.json"))
    expect(link).to_be_visible()
    with lab.page.expect_popup() as opened:
        link.click()
    assert "traceEvents" in opened.value.locator("body").inner_text()
    opened.value.close()
    lab.shoot(shots / "parity.png", "Train")


def sweep_emulated(lab: Any, shots: Path) -> None:
    """Points up to eight devices appear one by one, with their ideal."""
    compare = lab.card("Compare")
    compare.get_by_role("combobox", name="Workload").select_option("digits")
    for strategy in ("tensor", "hybrid"):
        compare.get_by_role("checkbox", name=strategy, exact=True).uncheck()
    compare.get_by_role("button", name="emulated", exact=True).click()
    plan = compare.get_by_role("note", name="Sweep plan")
    expect(compare.get_by_role("list", name=re.compile("^Strategies"))).to_contain_text("pipeline")
    expect(plan).to_contain_text("digits: data on 1, 2, 4, 8 devices")  # pipeline: 6 layers
    compare.get_by_role("listbox", name="Variants").select_option("data+sync=ring")
    expect(plan).to_contain_text("7 runs of 4 steps, emulated on demo")
    lab.press("Compare", "Sweep")
    picture = compare.get_by_role("img", name=re.compile(r"Speedup of digits, \d+ of 8 points"))
    expect(picture).to_be_visible(timeout=LONG_MS)
    numbers = set()
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline and 8 not in numbers:
        found = re.search(r"(\d+) of 8", picture.get_attribute("alt") or "")
        numbers.add(int(found[1]) if found else 0)
        lab.page.wait_for_timeout(60)
    assert 8 in numbers
    assert len(numbers) >= 4, f"points did not appear one by one: {sorted(numbers)}"
    lab.wait_ready(LONG_MS)
    expect(compare.get_by_role("note", name="Kind of run").first).to_contain_text(
        "EMULATED on demo: real ranks, declared speed"
    )
    lab.shoot(shots / "emulated_sweep.png", "Compare")
    compare.get_by_role("tab", name="Speedup").focus()
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("Enter")
    expect(compare.get_by_role("img", name=re.compile("Efficiency of digits"))).to_be_visible()
    lab.shoot(shots / "efficiency.png", "Compare")


def compare_stored(lab: Any, runs: Path, shots: Path) -> None:
    """Two runs of the list side by side, as files."""
    compare = lab.card("Compare")
    compare.get_by_role("button", name="Stored runs", exact=True).click()
    listed = compare.get_by_role("listbox", name="Runs")
    expect(listed.get_by_role("option")).to_have_count(1 + 7)
    lines = [line.replace("\xa0", " ") for line in listed.get_by_role("option").all_inner_texts()]
    marked = [line for line in lines if " dp=8 " in line and "emulated on demo" in line]
    assert len(marked) == 2
    listed.select_option(index=[lines.index(line) for line in marked])
    lab.press("Compare", "Compare")
    expect(compare.get_by_role("table")).to_contain_text("ring", timeout=LONG_MS)
    shown = {
        "Loss": "^Loss",
        "Timelines": "^A step of each",
        "Time": "^Where the time",
        "Memory": "emory",
    }
    for tab, alt in shown.items():
        lab.open("Compare", tab)
        expect(compare.get_by_role("img", name=re.compile(alt)).last).to_be_visible()
        lab.shoot(shots / f"stored_{tab.lower()}.png", "Compare")
    lab.press("Compare", "Export")
    expect(compare.get_by_role("link", name=re.compile("runs.csv"))).to_be_visible()
    (folder,) = (runs / "exports").glob("compare-*")
    rows = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["emulated", "emulated"]
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == {"loss", "timelines", "time", "bytes", "memory"}
