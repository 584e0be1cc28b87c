"""``labkit open``: JupyterLab on this machine only, token on, opened at a notebook."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import click

from labkit.cluster.fork_server import OWNER_FILE
from labkit.errors import SettingError

HOST = "127.0.0.1"
FIRST_NOTEBOOK = "00_the_lab.ipynb"
NOTEBOOK_FOLDER = "notebooks"
# Our own defaults for JupyterLab (no news, no update checks); what the user has set still wins.
SETTINGS_FOLDER = Path(__file__).parent / "jupyterlab_settings"
# A JupyterLab workspace of our own, so that the tabs of another project are not restored here.
WORKSPACE = "labkit"
RUNTIME_DIR = "JUPYTER_RUNTIME_DIR"
RUNTIME_PREFIX = "labkit-"
SOCKET_PATH_BYTES = 107  # longest path of a Unix socket, unix(7)
LONGEST_SOCKET = f"/{RUNTIME_PREFIX}12345678/kernel-{'0' * 36}-ipc-99"


def open_lab(notebook: str | None, *, port: int | None, browser: bool) -> int:
    """Serve JupyterLab until it is interrupted (SIGINT or SIGTERM), then end its kernels.

    The address, with a token made for this call, is printed on standard error. The server is
    bound to 127.0.0.1, and the token holds whatever the user's own Jupyter settings say. Its
    kernels listen on Unix sockets in a folder that only this user can enter: on TCP, every user
    of the machine could read along what they print.

    Args:
        notebook: path of a notebook, or the name of one in the ``notebooks`` folder, with or
            without ``.ipynb``; ``None`` opens the first one.
        port: TCP port; ``None`` takes a free one.
        browser: whether to open the address in the user's browser.
    Returns:
        Exit status, 0.
    Raises:
        SettingError: there is no such notebook, or the port is out of range or taken. Nothing
            was started then.
    """
    root, path = find_notebook(notebook)
    if port is not None:
        check_port(port)

    # Here, because it takes half a second that the other commands need not spend.
    from jupyterlab.labapp import LabApp

    token = secrets.token_urlsafe(24)
    with runtime_folder():
        # These are handed over in memory: the token never shows in the process list.
        server = LabApp.initialize_server(server_options(root, path, port, token, browser=browser))
        address = f"{server.connection_url.rstrip('/')}{page_of(path)}?token={token}"
        # Queued behind the binding of the port: who reads the line can connect.
        server.io_loop.add_callback(
            click.echo, f"JupyterLab: {address}\nControl-C ends it.", err=True
        )
        # Jupyter asks back at a terminal and leaves its kernels behind elsewhere; we do neither.
        signal.signal(signal.SIGINT, lambda *_: server.stop(from_signal=True))
        server.start()
    return 0


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder of this user alone for what Jupyter writes while it runs, removed at the end.

    Jupyter's own may have been made with any mode, and holds the token in a file that others may
    read; and the path to it may be too long for a kernel's socket.
    """
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent + LONGEST_SOCKET)) > SOCKET_PATH_BYTES:
        parent = "/tmp"
    folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=parent))
    (folder / OWNER_FILE).write_text(str(os.getpid()))  # so that ``labkit doctor`` knows it
    before = os.environ.get(RUNTIME_DIR)
    os.environ[RUNTIME_DIR] = str(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ[RUNTIME_DIR]
        if before is not None:
            os.environ[RUNTIME_DIR] = before


def find_notebook(notebook: str | None, *, root: Path | None = None) -> tuple[Path, str]:
    """The folder that JupyterLab will show, and the notebook's path within it.

    Args:
        notebook: as for ``open_lab``.
        root: folder that holds ``notebooks``; ``None`` takes the clone that this package runs
            from, or the current folder when the package was installed elsewhere.
    Returns:
        ``(folder, path)``; the path is relative, with forward slashes.
    Raises:
        SettingError: no such notebook; the message lists those there are.
    """
    if root is None:
        clone = Path(__file__).resolve().parent.parent
        root = clone if (clone / NOTEBOOK_FOLDER).is_dir() else Path.cwd()
    name = notebook if notebook is not None else FIRST_NOTEBOOK
    folder = root / NOTEBOOK_FOLDER
    named = Path(name)
    candidates = [named, folder / named, folder / f"{name}.ipynb"]
    if notebook is None:
        candidates = [folder / named]  # whatever the current folder holds
    for candidate in candidates:
        if candidate.is_file() and candidate.suffix == ".ipynb":
            found = candidate.resolve()
            if found.is_relative_to(root.resolve()):
                return root.resolve(), found.relative_to(root.resolve()).as_posix()
            return found.parent, found.name
    known = ", ".join(sorted(p.name for p in folder.glob("*.ipynb"))) or "none"
    raise SettingError(
        f"notebook {name!r} was not found; notebooks in {folder}: {known}. Name one of them or "
        f"give the path of another .ipynb file"
    )


def check_port(port: int) -> None:
    """Refuse a port that JupyterLab could not listen on.

    Raises:
        SettingError: out of range, taken, or not ours to use.
    """
    if not 1 <= port <= 65535:
        raise SettingError(f"port {port} is not a port; choose one from 1024 to 65535")
    with socket.socket() as probe:
        # As the server does: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingError(
                f"port {port} is taken or not allowed ({error.strerror}); choose another with "
                f"--port, or leave --port out for a free one"
            ) from error


def page_of(path: str) -> str:
    """JupyterLab's page for a notebook, as the path of an address."""
    return f"/lab/workspaces/{WORKSPACE}/tree/{quote(path)}"


def server_options(
    root: Path, path: str, port: int | None, token: str, *, browser: bool
) -> list[str]:
    """Command-line options of JupyterLab; they win over the user's configuration files."""
    return [
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port or 0}",  # 0: the system picks a free one
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--KernelManager.transport=ipc",
        f"--ServerApp.root_dir={root}",
        f"--ServerApp.open_browser={browser}",
        f"--LabApp.default_url={page_of(path)}",
        f"--LabApp.app_settings_dir={SETTINGS_FOLDER}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",  # the other one asks a package index on its own
        "--LanguageServerManager.autodetect=False",  # starts npm to look for servers we do not use
        "--ServerApp.allow_root=True",  # loopback and a token: containers are root and may use it
        "--ServerApp.log_level=WARN",
        "--LabApp.log_level=WARN",
    ]
