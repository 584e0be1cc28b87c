"""Facts of packaging that break without a sound: pins, package data, notebooks, the public API."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import labkit

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEADLINE_S = 120.0


def declared(*extras: str) -> list[Requirement]:
    """The project's requirements, and those of some extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@cache
def constraints() -> dict[str, Version]:
    """Version by name; fails on a line that is not ``name==version``, with or without a marker."""
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        match = re.fullmatch(r"==([^*+]+)", str(requirement.specifier))
        assert match, f"{line!r} does not pin one public version"
        pinned[canonicalize_name(requirement.name)] = Version(match[1])
    return pinned


def installed_closure() -> dict[str, Version]:
    """Every package that the project and its tests bring in here, with its version."""
    found: dict[str, Version] = {}
    todo, seen = declared("test"), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        distribution = importlib.metadata.distribution(name)
        found[name] = Version(distribution.version)
        for line in distribution.requires or []:
            needed = Requirement(line)
            environments: list[dict[str, str]] = [{"extra": e} for e in requirement.extras]
            if needed.marker is None or any(
                needed.marker.evaluate(environment)
                for environment in environments or [{"extra": ""}]
            ):
                todo.append(needed)
    return found


def third_party_imports() -> dict[str, Path]:
    """Top-level names that the packages import, with a file that does."""
    names = {}
    for path in [*(ROOT / "labkit").rglob("*.py"), *(ROOT / "widgets").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            names.update({module.partition(".")[0]: path for module in modules})
    own = {"labkit", "widgets", *sys.stdlib_module_names}
    return {name: path for name, path in names.items() if name not in own}


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=DEADLINE_S
    ).stdout


def test_constraints_pin_every_requirement_within_its_range() -> None:
    for requirement in declared("test"):
        if requirement.name == "cuda-bindings":
            continue  # torch's default build pins it itself
        version = constraints().get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert version in requirement.specifier, f"{requirement} but constraints.txt has {version}"


def test_constraints_are_what_is_installed_and_nothing_is_missing() -> None:
    """What torch needs of NVIDIA's is left to torch, which pins it; its CPU build needs none."""
    closure = {
        name: version
        for name, version in installed_closure().items()
        if not name.startswith(("nvidia-", "cuda-", "triton")) or name in constraints()
    }
    assert {name: Version(version.public) for name, version in closure.items()} == {
        name: version for name, version in constraints().items() if name in closure
    }
    unused = set(constraints()) - set(closure)
    assert unused <= {"importlib-metadata", "zipp"}, "only older Pythons need these two"


def test_dask_distributed_and_dask_cuda_agree() -> None:
    """dask-cuda YY.MM pins one release of dask and distributed; ours must be that one."""
    pins = {r.name: str(r.specifier) for r in declared("gpu")}
    assert pins["dask-cuda"] == "==26.10.0"
    assert pins["dask"] == pins["distributed"] == "==2026.7.1"
    dask_cuda = next(r for r in declared("gpu") if r.name == "dask-cuda")
    assert dask_cuda.extras == {"cu13"}, "a bare dask-cuda lacks cuda-bindings 13"


def test_every_import_of_the_packages_is_a_declared_dependency() -> None:
    names = {canonicalize_name(r.name) for r in declared("gpu")}
    providers = importlib.metadata.packages_distributions()
    for module, path in third_party_imports().items():
        offers = {canonicalize_name(name) for name in providers.get(module, [module])}
        offers.add(canonicalize_name(module))  # dask_cuda is not installed without a GPU
        assert offers & names, f"{path} imports {module}, which pyproject.toml does not declare"


def test_the_wheel_holds_both_packages_with_their_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=DEADLINE_S)
    (wheel,) = tmp_path.glob("labkit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in ("labkit", "widgets")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= held
    assert "labkit/jupyterlab_settings/overrides.json" in held
    packages = {name.partition("/")[0] for name in held}
    assert packages == {"labkit", "widgets", f"labkit-{PROJECT['version']}.dist-info"}


def test_there_is_a_first_notebook() -> None:
    assert "00_the_lab.ipynb" in {path.name for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_carries_no_outputs_and_stable_ids(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata, "saved widget state: clear it before committing"
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"cell {cell.id} has outputs"
        assert cell.get("execution_count") is None, f"cell {cell.id} was saved after a run"
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 15, f"cell {cell.id} is over 15 lines"


def test_importing_labkit_loads_nothing_heavy() -> None:
    heavy = {"torch", "dask", "distributed", "ipywidgets", "matplotlib", "pandas", "widgets"}
    loaded = run_python("import labkit, sys; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)


def test_labkit_imports_no_widget_and_no_pyplot() -> None:
    front_end = re.compile(
        r"^\s*(import|from) (widgets|ipywidgets|anywidget|IPython|matplotlib\.pyplot)\b",
        re.MULTILINE,
    )
    guilty = [p for p in (ROOT / "labkit").rglob("*.py") if front_end.search(p.read_text())]
    assert guilty == []


def test_the_public_api_is_this() -> None:
    assert sorted(labkit.__all__) == [
        "Cluster",
        "Curve",
        "Dataset",
        "LabError",
        "Plan",
        "Run",
        "RunRecord",
        "Workload",
        "follow",
        "launch",
        "preprocess",
        "runs_on",
        "step_effect",
        "sweep",
        "train",
    ]
    for name in labkit.__all__:
        assert getattr(labkit, name).__doc__, f"labkit.{name} has no docstring"


def test_it_is_never_uploaded_by_mistake() -> None:
    assert "Private :: Do Not Upload" in PROJECT["classifiers"]
    assert PROJECT["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def test_binder_installs_what_the_constraints_say() -> None:
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "-c ../constraints.txt",
        "-e .",
    ]
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() == "python-3.11"
