"""``labkit doctor``: what is here, whether the lab can run on it, and what to do if not."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from labkit.cluster import private_network
from labkit.cluster.capacity import WORKER_BYTES
from labkit.cluster.devices import Devices, find_devices
from labkit.leftovers import abandoned_folders, orphaned_fork_servers

Level = Literal["ok", "note", "problem"]

# Those that must agree with each other, or that a person asks for first.
SHOWN_PACKAGES = ("torch", "dask", "distributed", "jupyterlab", "ipywidgets")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MIN_FREE_DISK_BYTES = 500 * 2**20
PROBE_S = 10.0
DEFAULT_WORKERS = 4  # what the lab's Launch button offers
REINSTALL = "pip install -c constraints.txt -e ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two.
        found: what is there.
        level: ``ok``; ``note``, which the lab can live with; ``problem``, which it cannot.
        fix: what to do; empty when ``ok``.
    """

    name: str
    found: str
    level: Level = "ok"
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one examination."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the lab can run: no check found a problem."""
        return all(check.level != "problem" for check in self.checks)

    def lines(self) -> list[str]:
        """The report for people, a line a check and a line below it for each fix."""
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            lines.append(f"{check.level:<8} {check.name:<{width}}  {check.found}")
            if check.fix:
                lines.append(f"{'':<8} {'':<{width}}  -> {check.fix}")
        lines.append("The lab can run here." if self.ok else "The lab cannot run here yet.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """``{"ok": bool, "checks": [{"name", "found", "level", "fix"}]}``."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def examine(temp_folder: Path | None = None) -> Report:
    """Look at this machine without starting or changing anything.

    Args:
        temp_folder: where the lab keeps its folders; ``None`` is the system's.
    """
    folder = temp_folder if temp_folder is not None else Path(tempfile.gettempdir())
    versions = installed_versions()
    memory = psutil.virtual_memory()
    return Report(
        (
            check_system(platform.system(), platform.machine()),
            *check_versions(versions),
            check_devices(find_devices(), versions),
            check_memory(memory.available, memory.total),
            check_disk(folder, shutil.disk_usage(folder).free),
            check_ports(),
            check_private_network(private_network_obstacle()),
            *check_leftovers(folder),
            check_browser(),
        )
    )


def installed_versions() -> dict[str, str]:
    """Version of every installed package that the doctor looks at, and of Python."""
    versions = {"python": platform.python_version()}
    for name in (*SHOWN_PACKAGES, "dask-cuda"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def check_system(system: str, machine: str) -> Check:
    """The lab needs Linux: forked ranks, parent-death signals, dask-cuda."""
    found = f"{system} {machine}"
    if system != "Linux":
        return Check(
            name="system",
            found=found,
            level="problem",
            fix="use Linux, a Linux container or Windows Subsystem for Linux",
        )
    return Check(name="system", found=found)


def check_versions(versions: dict[str, str]) -> Iterator[Check]:
    """Installed versions against what this package asks for.

    Args:
        versions: as ``installed_versions`` gives them.
    """
    metadata = importlib.metadata.metadata("labkit")
    wanted = {"python": SpecifierSet(metadata["Requires-Python"] or "")}
    for line in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        if requirement.name in SHOWN_PACKAGES:
            wanted[requirement.name] = requirement.specifier
    for name in ("python", *SHOWN_PACKAGES):
        version = versions.get(name)
        specifier = wanted[name]
        if version is None:
            yield Check(name=name, found="not installed", level="problem", fix=REINSTALL)
        elif version not in specifier:
            fix = f"use Python {specifier}" if name == "python" else REINSTALL
            yield Check(
                name=name,
                found=f"{version}, but the lab needs {specifier}",
                level="problem",
                fix=fix,
            )
        else:
            yield Check(name=name, found=version)


def check_devices(devices: Devices, versions: dict[str, str]) -> Check:
    """What a cluster would run on, and whether the packages for it are there."""
    if devices.kind == "cpu":
        return Check(name="devices", found=devices.why)
    if "dask-cuda" not in versions:
        return Check(
            name="devices",
            found=f"{devices.why}, but dask-cuda is not installed",
            level="problem",
            fix="pip install -c constraints.txt -e '.[gpu]', or train with CPU workers",
        )
    if versions.get("torch", "").endswith("+cpu"):
        return Check(
            name="devices",
            found=f"{devices.why}, but torch {versions['torch']} is a build without CUDA",
            level="problem",
            fix="pip uninstall torch, then install torch's default build",
        )
    return Check(name="devices", found=f"{devices.why}; dask-cuda {versions['dask-cuda']}")


def check_memory(available_bytes: int, total_bytes: int) -> Check:
    """Free memory, which bounds the number of workers."""
    num_workers = available_bytes // WORKER_BYTES
    found = (
        f"{available_bytes / 2**30:.1f} GiB free of {total_bytes / 2**30:.1f} GiB, "
        f"for {num_workers} workers"
    )
    if num_workers < 1:
        fix = f"close other programs: a worker takes {WORKER_BYTES / 2**20:.0f} MiB"
        return Check(name="memory", found=found, level="problem", fix=fix)
    if num_workers < DEFAULT_WORKERS:
        fix = f"launch {num_workers} at most, or close other programs"
        return Check(name="memory", found=found, level="note", fix=fix)
    return Check(name="memory", found=found)


def check_disk(folder: Path, free_bytes: int) -> Check:
    """Room for shards and workers' files in the temporary folder."""
    found = f"{free_bytes / 2**30:.1f} GiB free in {folder}"
    if free_bytes < MIN_FREE_DISK_BYTES:
        return Check(
            name="disk",
            found=found,
            level="problem",
            fix=f"free {MIN_FREE_DISK_BYTES / 2**20:.0f} MiB there, or point TMPDIR elsewhere",
        )
    return Check(name="disk", found=found)


def check_ports(host: str = "127.0.0.1") -> Check:
    """Whether a socket on this host's own address can listen and be reached."""
    try:
        with socket.create_server((host, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5.0).close()
    except OSError as error:
        return Check(
            name="ports",
            found=f"none can be opened on {host}: {error}",
            level="problem",
            fix="bring the loopback interface up, and let local connections through the firewall",
        )
    return Check(name="ports", found=f"{host} opens free ones, and answers there")


def private_network_obstacle() -> str:
    """Why ranks cannot have a network of their own here; empty when they can."""
    command = [sys.executable, "-I", private_network.__file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (done.stdout + done.stderr).strip()


def check_private_network(obstacle: str) -> Check:
    """Whether other users of this machine are kept from the ports of ranks.

    Args:
        obstacle: as ``private_network_obstacle`` gives it.
    """
    if obstacle:
        return Check(
            name="doors",
            found=f"ranks share the loopback of every user: no network of their own ({obstacle})",
            level="note",
            fix="train where no other user is, or have the kernel allow user namespaces",
        )
    return Check(name="doors", found="TLS for Dask, and a network of their own for ranks")


def check_leftovers(folder: Path) -> Iterator[Check]:
    """Folders and processes of earlier labs whose owner is gone."""
    orphans = list(orphaned_fork_servers(folder))
    if orphans:
        pids = " ".join(str(pid) for pid in orphans)
        yield Check(
            name="processes",
            found=f"fork servers of labs that are gone: {pids}",
            level="note",
            fix=f"kill {pids}",
        )
    else:
        yield Check(name="processes", found="none left by earlier labs")
    abandoned = [str(path) for path in abandoned_folders(folder)]
    if abandoned:
        yield Check(
            name="folders",
            found=f"left by labs that are gone: {', '.join(abandoned)}",
            level="note",
            fix=f"rm -r {' '.join(abandoned)}",
        )
    else:
        yield Check(name="folders", found="none left by earlier labs")


def check_browser() -> Check:
    """Chromium, which only the tests need."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return Check(name="browser", found=f"{path} for the browser tests")
    return Check(
        name="browser",
        found="no Chromium; the lab needs none of its own, the browser tests do",
        level="note",
        fix="apt-get install chromium",
    )
