"""A throw-away JupyterLab on loopback, a headless Chromium that may ask nobody else, the lab."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    BrowserContext,
    Locator,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as PageTimeout

from labkit.open_lab import server_options

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOPBACK = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:")
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
FAILED_FETCH = "Failed to fetch"  # what a page says of a request that came to nothing
START_S = 60.0
STEP_MS = 30_000
LONG_MS = 60_000
FRAMES_S = 15.0


@dataclass(slots=True)
class Server:
    """A running JupyterLab.

    Attributes:
        url: with its port.
        token: to get in.
        root: folder of its notebooks, a copy.
    """

    url: str
    token: str
    root: Path

    def log(self) -> str:
        """What the server has said."""
        return (self.root.parent / "server.log").read_text()

    def end_kernels(self) -> None:
        """End every kernel, and so whatever the notebooks launched."""
        for kernel in json.loads(self.ask("GET", "/api/kernels")):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")

    def ask(self, method: str, path: str) -> bytes:
        """One request to the server's API."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            body: bytes = answer.read()
        return body


@dataclass(slots=True)
class Watched:
    """What went wrong in a page without anybody asking.

    Attributes:
        outside: addresses that were asked for and are not on loopback; each was refused.
        errors: uncaught errors of the page.
        dropped: requests that Chromium gave up because the machine's network changed.
    """

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def note_failure(self, request: Request) -> None:
        """Note a request that came to nothing, and print it for who reads of a failed test."""
        print(f"{request.url}: {request.failure}")
        if request.failure == NETWORK_CHANGED:
            self.dropped.append(request.url)

    def own_errors(self) -> list[str]:
        """Errors of the page but those of dropped requests, which are the machine's."""
        left = self.errors.copy()
        for _ in self.dropped:
            if FAILED_FETCH in left:
                left.remove(FAILED_FETCH)
        return left


@pytest.fixture
def server() -> Iterator[Server]:
    """JupyterLab with the repository's notebooks, its own settings and a free port."""
    home = Path(tempfile.mkdtemp(prefix="browser-"))
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
    }
    token = secrets.token_urlsafe(24)
    options = server_options(home / "notebooks", "00_the_lab.ipynb", 0, token, browser=False)
    command = [sys.executable, "-m", "jupyterlab", *options, "--LabApp.expose_app_in_browser=True"]
    environment = {**os.environ, **{name: str(path) for name, path in folders.items()}}
    with open(home / "server.log", "w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        running = Server(_url_of(process, home), token, home / "notebooks")
        yield running
        running.end_kernels()
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(START_S)
        shutil.rmtree(home, ignore_errors=True)


def _url_of(process: subprocess.Popen[bytes], home: Path) -> str:
    """The address that the server wrote down once it listened."""
    file = home / "runtime" / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if file.exists() and (text := file.read_text()).endswith("}"):
            return f"http://127.0.0.1:{json.loads(text)['port']}"
        time.sleep(0.05)
    raise AssertionError(f"JupyterLab did not start:\n{(home / 'server.log').read_text()}")


def find_chromium() -> str:
    """Path of Chromium; fails with how to install it."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert found, "the browser test needs Chromium; install it: apt-get install chromium"
    return found


@pytest.fixture
def context(
    tests_apart: Callable[..., AbstractContextManager[None]],
) -> Iterator[BrowserContext]:
    """A fresh browser window of 1400 x 1000 pixels."""
    expect.set_options(timeout=STEP_MS)
    with tests_apart("browser", "hosts"), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_OPTIONS)
        )
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(STEP_MS)
        yield context
        context.close()
        browser.close()


@pytest.fixture
def watched() -> Watched:
    """What went wrong in the page of this test."""
    return Watched()


@pytest.fixture
def page(context: BrowserContext, watched: Watched) -> Page:
    """A page that can reach loopback only, and remembers what else it asked for."""

    def let_through(route: Route) -> None:
        if LOOPBACK.match(route.request.url):
            route.continue_()
        else:
            watched.outside.append(route.request.url)
            route.abort()

    context.route("**/*", let_through)
    page = context.new_page()
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("requestfailed", lambda request: watched.note_failure(request))
    return page


@pytest.fixture
def shots() -> Iterator[Path]:
    """Folder for screenshots: LABKIT_SCREENSHOTS, or a temporary one."""
    kept = os.environ.get("LABKIT_SCREENSHOTS")
    folder = Path(kept or tempfile.mkdtemp(prefix="shots-"))
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    if kept is None:
        shutil.rmtree(folder, ignore_errors=True)


class LabPage:
    """The lab in a page, by the names that a screen reader hears."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.state = page.locator(".lab-root").get_by_role("status").first

    def card(self, name: str) -> Locator:
        """One of the four cards."""
        return self.page.get_by_role("region", name=name, exact=True)

    def press(self, card: str, button: str) -> None:
        """Press a button of a card, once it can be pressed."""
        self.card(card).get_by_role("button", name=button, exact=True).click()

    def open(self, card: str, tab: str) -> None:
        """Open a tab of a card."""
        self.card(card).get_by_role("tab", name=tab, exact=True).click()

    def unfold(self, group: str) -> None:
        """Open a group of settings by key, as its header can be reached by Tab."""
        header = self.card("Train").get_by_role("button", name=re.compile(f"^{group}"))
        header.focus()
        self.page.keyboard.press("Enter")
        expect(header).to_have_attribute("aria-expanded", "true")

    def prefer(self, scheme: str) -> None:
        """Let the reader's system be dark or light; JupyterLab and the lab follow it."""
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        is_light = "true" if scheme == "light" else "false"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)

    def slider(self, card: str, name: str) -> Locator:
        """The handle of a slider."""
        return self.card(card).get_by_role("slider", name=name, exact=True)

    def slide(self, card: str, name: str, key: str) -> None:
        """Move a slider by a key."""
        self.slider(card, name).focus()
        self.page.keyboard.press(key)

    def wait_ready(self, timeout_ms: float = LONG_MS) -> None:
        """Wait until no job is at work."""
        expect(self.state).to_have_text("ready", timeout=timeout_ms)

    def run_cell(self, number: int) -> Locator:
        """Run a code cell by hand, as a person does."""
        cell = self.page.locator(".jp-CodeCell").nth(number)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        return cell

    def frames_of(self, picture: Locator, number: int) -> int:
        """Different images that a picture shows, until there are ``number`` or time is over."""
        seen: set[str | None] = set()
        deadline = time.monotonic() + FRAMES_S
        while len(seen) < number and time.monotonic() < deadline:
            seen.add(picture.get_attribute("src"))
            self.page.wait_for_timeout(60)
        return len(seen)

    def shoot(self, path: Path, card: str | None = None) -> None:
        """A screenshot of the whole lab, taller than the window, or of one card."""
        self.page.set_viewport_size({"width": 1400, "height": 4200})
        shown = self.page.locator(".lab-root") if card is None else self.card(card)
        # JupyterLab takes cells off the page and puts them back while the window's size changes.
        box = None
        deadline = time.monotonic() + LONG_MS / 1000
        while box is None and time.monotonic() < deadline:
            shown.evaluate("root => root.scrollIntoView()")
            self.page.wait_for_timeout(200)
            box = shown.bounding_box()
        assert box is not None, f"{card or 'the lab'} did not come back on the page"
        self.page.screenshot(path=path, clip=box)
        self.page.set_viewport_size({"width": 1400, "height": 1000})


def wait_for_kernel(page: Page, server: Server, watched: Watched) -> None:
    """Wait until the page knows of its kernel; once, load it again, as a person would.

    Requests of the page that is left are cut off, and what it says of that is not counted.
    """
    idle = page.get_by_role("button", name="Python 3 (ipykernel) | Idle")
    try:
        idle.wait_for(timeout=LONG_MS)
    except PageTimeout:
        print(said := f"kernels: {server.ask('GET', '/api/kernels')!r}\n{server.log()}")
        page.reload()
        watched.errors.clear()
        watched.dropped.clear()
        try:
            idle.wait_for(timeout=LONG_MS)
        except PageTimeout as error:
            raise AssertionError(f"the page has no idle kernel, loaded twice; {said}") from error


@pytest.fixture
def lab(page: Page, server: Server, watched: Watched) -> LabPage:
    """The first notebook, its first cell run."""
    page.goto(f"{server.url}/doc/tree/00_the_lab.ipynb?reset&token={server.token}")
    wait_for_kernel(page, server, watched)
    page.evaluate("() => jupyterapp.restored")
    lab = LabPage(page)
    lab.run_cell(0)
    expect(lab.state).to_have_text("no workers yet", timeout=LONG_MS)
    return lab
