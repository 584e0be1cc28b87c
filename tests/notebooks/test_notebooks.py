"""Every notebook: clean in the repository, and runs from top to bottom without a browser."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

from labkit.open_lab import runtime_folder

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.stem[:2] > "00"]
CELL_S = 120
TOUR_S = 60.0
CHAPTER_S = 300.0  # "under five minutes on two cores"
MAX_LINES = 15
NUM_CELLS = range(20, 41)
PASSED, OPEN = "Right: every claim holds.", "Nothing to check yet"
FIGURE_OF_A_RUN = re.compile(r"(?<![\w`=.])\d[\d.,]*\s?(%|ms\b|s\b|[kMG]B\b|x\b)")


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def cells_of(notebook: NotebookNode, kind: str, prefix: str = "") -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == kind and c["id"].startswith(prefix)]


def shown_by(cell: NotebookNode) -> str:
    """Everything that a cell printed or displayed, as text."""
    printed = [o.text for o in cell.outputs if o.output_type == "stream"]
    displayed = [o.data.get("text/plain", "") for o in cell.outputs if "data" in o]
    return "\n".join([*printed, *displayed])


def with_answers(notebook: NotebookNode) -> NotebookNode:
    """The chapter as a reader leaves it who ran it, looked up the answers and checked them.

    Behind each exercise's checks stand the code of its folded answer and the checks once more.
    """
    cells: list[NotebookNode] = []
    checks: list[NotebookNode] = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell["id"].startswith("check"):
            checks.append(cell)
        elif cell["id"].startswith("answer"):
            (code,) = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
            cells.append(new_code_cell(code, id=f"{cell['id']}-run"))
            cells += [new_code_cell(c.source, id=f"{c['id']}-again") for c in checks]
            checks = []
    notebook.cells = cells
    return notebook


def execute(notebook: NotebookNode, folder: Path) -> float:
    """Run all cells in a fresh kernel; returns the seconds that it took.

    The kernel speaks through sockets in a folder of its own: of ports that are chosen before it
    starts another process may have been given one meanwhile.
    """
    begun_s = time.monotonic()
    with runtime_folder() as sockets, signals_as_before() as keep_them:
        speak = {"transport": "ipc", "ip": str(sockets / "kernel")}
        client = NotebookClient(
            notebook,
            timeout=CELL_S,
            resources={"metadata": {"path": str(folder)}},
            config=Config({"KernelManager": speak}),
            on_notebook_start=keep_them,
        )
        # Unlike ``client.execute``, this ends the kernel when it is interrupted.
        asyncio.run(client.async_execute())
    return time.monotonic() - begun_s


@contextmanager
def signals_as_before() -> Iterator[Callable[..., None]]:
    """Nbclient would end its kernel at a signal, and let the suite go on that was told to end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def keep(**_: object) -> None:
        for number in handlers:  # the loop would call nbclient's besides ours
            asyncio.get_running_loop().remove_signal_handler(number)
        restore()

    try:
        yield keep
    finally:
        restore()


def assert_shows_without_complaint(notebook: NotebookNode) -> None:
    outputs = [o for cell in cells_of(notebook, "code") for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    shown = [o.data for o in outputs if "data" in o]
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)
    assert any("image/png" in data for data in shown)


def test_there_is_a_first_notebook() -> None:
    assert FOLDER / "00_the_lab.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs_and_with_named_cells(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("-", "").isalnum() and not name.isdigit() for name in ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= MAX_LINES, f"cell {cell['id']} is too long"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_to_other_files_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in cells_of(read(path), "markdown"))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (FOLDER / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize(("before", "after"), list(pairwise(CHAPTERS)), ids=lambda path: path.stem)
def test_chapters_lead_to_the_next_and_back(before: Path, after: Path) -> None:
    assert f"]({after.name})" in cells_of(read(before), "markdown", "summary")[0].source
    assert any(f"]({before.name})" in cell.source for cell in cells_of(read(after), "markdown"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_follows_the_spine(path: Path) -> None:
    """Question, prediction, experiment, comparison, exercise, check, folded answer, summary."""
    notebook = read(path)
    assert len(notebook.cells) in NUM_CELLS
    text = "\n".join(cell.source for cell in cells_of(notebook, "markdown"))
    assert "**The question of this chapter:" in text
    later = "\n".join(cell.source for cell in cells_of(notebook, "code"))
    asked = [name for name in re.findall(r"^(\w+) = Prediction\(", later, re.MULTILINE)]
    assert len(asked) >= 3
    for name in asked:
        assert f"{name}.beside(" in later or f"({name}, " in later, f"{name} is never compared"
    assert cells_of(notebook, "code", "exercise")
    assert cells_of(notebook, "code", "check")
    for answer in cells_of(notebook, "markdown", "answer"):
        assert answer.source.startswith("<details>"), "an answer is folded"
    *_, last = notebook.cells
    assert all(part in last.source for part in ("## Summary", "## Sources", "**Next:**"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_figure_of_a_run_is_typed_into_the_text(path: Path) -> None:
    """Shares, times, sizes and factors are computed by the code; an exercise may ask for one."""
    for cell in cells_of(read(path), "markdown"):
        if cell["id"] not in ("exercise", "summary"):
            found = FIGURE_OF_A_RUN.search(cell.source)
            assert found is None, f"cell {cell['id']} says {found[0]!r}"


def test_a_suite_that_is_told_to_end_ends_a_notebook_and_its_kernel(tmp_path: Path) -> None:
    tell = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            execute(new_notebook(cells=[new_code_cell(tell)]), tmp_path)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_tour_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = read(FOLDER / "00_the_lab.ipynb")
    taken_s = execute(notebook, tmp_path)
    assert_shows_without_complaint(notebook)
    assert taken_s < TOUR_S, f"it took {taken_s:.0f} s"


@pytest.mark.timeout(CHAPTER_S + CELL_S)
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs_and_its_checks_accept_its_answers_only(path: Path, tmp_path: Path) -> None:
    notebook = with_answers(read(path))
    taken_s = execute(notebook, tmp_path)
    assert_shows_without_complaint(notebook)
    for check in cells_of(notebook, "code", "check"):
        wanted = PASSED if check["id"].endswith("-again") else OPEN
        assert wanted in shown_by(check), f"cell {check['id']} shows {shown_by(check)}"
    assert taken_s < CHAPTER_S, f"it took {taken_s:.0f} s"
