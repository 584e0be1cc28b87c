"""Sources to read: small tables, a PostgreSQL server, a file server, an S3 server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.maps import SourceMap, read_source_maps

DEADLINE_S = "60"


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Things with a number, a weight, a class and a note."""
    return Schema(
        columns=(
            Column(name="no"),
            Column(name="weight_g", unit="g", least=0.0, greatest=5000.0),
            Column(name="kind", kind="category", names=("orange", "watermelon")),
            Column(name="note", kind="text"),
        ),
        key=("no",),
        label="kind",
    )


@pytest.fixture(scope="session")
def things(schema: Schema) -> Callable[..., tuple[SourceMap, ...]]:
    """Makes the map of a source ``things`` with the columns id, w (kg), what and note."""

    def make(**settings: Any) -> tuple[SourceMap, ...]:
        fields = {
            "no": "id",
            "weight_g": {"column": "w", "unit": "kg"},
            "kind": "what",
            "note": "note",
        }
        return read_source_maps({"things": {"fields": fields, **settings}}, schema)

    return make


def server_program(name: str) -> str:
    """The path of a PostgreSQL program; without one the test fails."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(places[-1]) if places else None)
    if found is None or not places:
        pytest.fail("apt-get install postgresql")
    return str(places[-1])


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server with a password, stopped in the end."""
    owner = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    programs = {name: server_program(name) for name in ("initdb", "pg_ctl")}
    # Others may not look into the folder that tests have as root.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp" if owner else None))
    run = partial(
        subprocess.run, check=True, stdout=subprocess.DEVNULL, timeout=120, cwd="/",
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"}, extra_groups=[] if owner else None, **owner,
    )  # fmt: skip
    word = folder / "password"
    word.write_text("open sesame")
    for path in (folder, word) if owner else ():
        shutil.chown(path, **owner)
    data, port = str(folder / "data"), free_port()
    try:
        run([programs["initdb"], "-D", data, "-U", "lab", "-A", "scram-sha-256", "--no-sync",
             "-E", "UTF8", f"--pwfile={word}"])  # fmt: skip
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{folder}'"
        control = [programs["pg_ctl"], "-D", data, "-w", "-t", DEADLINE_S]
        run([*control, "-l", str(folder / "log"), "-o", options, "start"])
        number = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        yield f"postgresql+psycopg://lab:open%20sesame@127.0.0.1:{port}/postgres"
        run([*control, "-m", "immediate", "stop"])
        assert not Path(f"/proc/{number}").exists() or "Z" in status(number)
    finally:
        shutil.rmtree(folder)


def status(process: int) -> str:
    """One letter, Z for a process that has ended and that nobody has asked about."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


class FolderOfFiles(SimpleHTTPRequestHandler):
    """Serves a folder without ranges and without talking."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files under ``tmp_path``, that has no ranges."""
    yield from serve(partial(FolderOfFiles, directory=str(tmp_path)))


def serve(handler: Any) -> Iterator[str]:
    """A web server on a free port of this machine, closed in the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(timeout=30)
        assert not thread.is_alive()
