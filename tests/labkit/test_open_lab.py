"""JupyterLab as ``labkit open`` starts it: loopback, token, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
import pytest
from jupyter_client import BlockingKernelClient

from labkit.errors import SettingError
from labkit.open_lab import FIRST_NOTEBOOK, check_port, find_notebook, open_lab, runtime_folder

DEADLINE_S = 60.0
STRANGER = Path(__file__).parent / "cluster" / "stranger.py"
OPEN_IT = """
import sys
from labkit.open_lab import open_lab
sys.exit(open_lab(sys.argv[1], port=None, browser=False))
"""


class Server(NamedTuple):
    """A JupyterLab started by ``open_lab`` in a process of its own."""

    process: psutil.Popen
    address: str  # http://127.0.0.1:PORT
    page: str
    token: str


def put_notebook(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(), path)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with notebooks, laid out as a clone is."""
    put_notebook(tmp_path / "notebooks" / FIRST_NOTEBOOK)
    put_notebook(tmp_path / "notebooks" / "01_data.ipynb")
    return tmp_path


def read_line(process: psutil.Popen, *, containing: str) -> str:
    """The first line of the process's standard error with that text, before the deadline."""
    end = time.monotonic() + DEADLINE_S
    seen = b""
    while time.monotonic() < end:
        if select.select([process.stderr], [], [], 1.0)[0]:
            data = os.read(process.stderr.fileno(), 65536)
            assert data, f"it ended before it said {containing!r}: {seen.decode()}"
            seen += data
            for line in seen.decode().splitlines(keepends=True):
                if containing in line and line.endswith("\n"):
                    return line
    raise AssertionError(f"no {containing!r} within {DEADLINE_S} s: {seen.decode()}")


@contextmanager
def open_server(folder: Path) -> Iterator[Server]:
    """JupyterLab on a notebook of that folder, with Jupyter folders of its own."""
    notebook = put_notebook(folder / "work" / "mine.ipynb")
    places = {
        name: str(folder / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    # A user who has switched the token off for their own servers still gets one here.
    (folder / "JUPYTER_CONFIG_DIR").mkdir()
    (folder / "JUPYTER_CONFIG_DIR" / "jupyter_server_config.py").write_text(
        "c.IdentityProvider.token = ''\nc.ServerApp.ip = '0.0.0.0'\n"
    )
    process = psutil.Popen(
        [sys.executable, "-c", OPEN_IT, str(notebook)],
        env={**os.environ, **places, "JUPYTER_TOKEN": ""},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        line = read_line(process, containing="token=")
        match = re.search(r"(http://127\.0\.0\.1:\d+)(/\S*)\?token=(\S+)", line)
        assert match, line
        yield Server(process, *match.groups())
    finally:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        process.wait(DEADLINE_S)
        process.stderr.close()


def ask(server: Server, path: str, *, token: str = "", data: object = None) -> tuple[int, bytes]:
    """Status and body of one request, GET or, with data, POST."""
    headers = {"Authorization": f"token {token}"} if token else {}
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(server.address + path, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def runtime_folder_of(server: Server) -> Path:
    """The folder in which this server and its kernels keep what they need while they run."""
    (info,) = Path(tempfile.gettempdir()).glob(f"labkit-*/jpserver-{server.process.pid}.json")
    return info.parent


def listening_hosts(process: psutil.Popen) -> set[str]:
    family = [process, *process.children(recursive=True)]
    return {
        connection.laddr.ip
        for member in family
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_it_serves_the_notebook_to_the_token_only_on_loopback(tmp_path: Path) -> None:
    with open_server(tmp_path) as server:
        assert ask(server, "/api/contents")[0] == 403
        assert ask(server, "/api/contents", token="wrong")[0] == 403
        status, body = ask(server, "/api/contents", token=server.token)
        assert status == 200
        assert [entry["name"] for entry in json.loads(body)["content"]] == ["mine.ipynb"]

        assert server.page.endswith("/tree/mine.ipynb")
        status, page = ask(server, server.page, token=server.token)
        assert status == 200
        assert b'"news": {"disabled": true}' in page
        status, body = ask(server, "/lab/api/settings", token=server.token)
        schemas = {entry["id"]: entry["schema"] for entry in json.loads(body)["settings"]}
        news = schemas["@jupyterlab/apputils-extension:notification"]["properties"]["fetchNews"]
        assert news["default"] == "false"

        assert ask(server, "/api/kernels", token=server.token, data={"name": "python3"})[0] == 201
        assert len(server.process.children()) == 1
        assert listening_hosts(server.process) == {"127.0.0.1"}


def test_kernels_speak_through_sockets_that_only_this_user_reaches(tmp_path: Path) -> None:
    with open_server(tmp_path) as server:
        status, body = ask(server, "/api/kernels", token=server.token, data={"name": "python3"})
        assert status == 201
        folder = runtime_folder_of(server)
        assert folder.stat().st_mode & 0o077 == 0

        file = folder / f"kernel-{json.loads(body)['id']}.json"
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        assert client.transport == "ipc"
        client.start_channels(hb=False)  # a busy machine would be taken for a dead kernel
        try:
            client.wait_for_ready(timeout=DEADLINE_S)
            printed: list[str] = []
            reply = client.execute_interactive(
                "print(6 * 7)",
                timeout=DEADLINE_S,
                output_hook=lambda message: printed.append(message["content"].get("text", "")),
            )
        finally:
            client.stop_channels()
        assert reply["content"]["status"] == "ok"
        assert "".join(printed) == "42\n"
        sockets = [path for path in folder.iterdir() if path.is_socket()]
        assert len(sockets) == 5, "shell, iopub, stdin, control and heartbeat"
        if os.geteuid() == 0:
            look_in_as_stranger(server, folder)
    assert not folder.exists()


def look_in_as_stranger(server: Server, folder: Path) -> None:
    """Another user finds one port that asks for a token, and no file or socket."""
    port = int(server.address.rsplit(":", 1)[1])
    inside = list(folder.iterdir())
    attempts = [
        ["ask_for_page", port],
        ["list_folder", str(folder)],
        *(["knock" if path.is_socket() else "read_file", str(path)] for path in inside),
    ]
    shared = Path(tempfile.gettempdir())
    before = shared.stat().st_mode
    shared.chmod(0o755)
    try:
        done = subprocess.run(
            [sys.executable, "-I", STRANGER],
            input=json.dumps(attempts),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
    finally:
        shared.chmod(before)
    answers = json.loads(done.stdout)
    assert answers.pop(f"ask_for_page {port}") == "a token is asked for"
    assert len(answers) == len(attempts) - 1
    assert all(answer.startswith("PermissionError") for answer in answers.values()), answers


def test_a_deep_temporary_folder_does_not_make_the_sockets_paths_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("a" * 40) / ("b" * 40)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "before")
    with runtime_folder() as folder:
        assert os.environ["JUPYTER_RUNTIME_DIR"] == str(folder)
        assert folder.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(f"{folder}/kernel-{uuid.uuid4()}-ipc-99")
    assert not folder.exists()
    assert os.environ["JUPYTER_RUNTIME_DIR"] == "before"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_kernels(tmp_path: Path, number: signal.Signals) -> None:
    with open_server(tmp_path) as server:
        ask(server, "/api/kernels", token=server.token, data={"name": "python3"})
        kernels = server.process.children(recursive=True)
        assert kernels
        port = int(server.address.rsplit(":", 1)[1])
        runtime = runtime_folder_of(server)

        server.process.send_signal(number)

        assert server.process.wait(DEADLINE_S) == 0
        assert psutil.wait_procs(kernels, timeout=DEADLINE_S)[1] == []
        check_port(port)  # free again
        assert not runtime.exists()


def test_a_taken_port_is_named_before_anything_starts(clone: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        notebook = str(clone / "notebooks" / FIRST_NOTEBOOK)
        with pytest.raises(SettingError, match=rf"port {port} is taken.*--port"):
            open_lab(notebook, port=port, browser=False)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(SettingError, match=rf"port {port} is not a port; choose"):
        check_port(port)


@pytest.mark.parametrize("name", ["01_data", "01_data.ipynb", None])
def test_a_notebook_is_found_by_its_name(clone: Path, name: str | None) -> None:
    expected = f"notebooks/{FIRST_NOTEBOOK}" if name is None else "notebooks/01_data.ipynb"
    assert find_notebook(name, root=clone) == (clone.resolve(), expected)


def test_a_notebook_elsewhere_is_served_from_its_own_folder(clone: Path, tmp_path: Path) -> None:
    other = put_notebook(tmp_path / "elsewhere" / "mine.ipynb")
    assert find_notebook(str(other), root=clone / "notebooks") == (other.parent, "mine.ipynb")


def test_an_unknown_notebook_is_answered_with_those_there_are(clone: Path) -> None:
    with pytest.raises(SettingError, match=r"'nothing' was not found.*00_the_lab.*01_data"):
        find_notebook("nothing", root=clone)


def test_without_notebooks_the_message_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=rf"notebooks in {tmp_path}/notebooks: none"):
        find_notebook(None, root=tmp_path)
