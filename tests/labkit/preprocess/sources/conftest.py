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
from urllib.parse import parse_qs, unquote, urlsplit

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
    found = str(places[-1]) if places else shutil.which(name)
    if found is None:
        pytest.fail("apt-get install postgresql")
    return found


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
    data = str(folder / "data")
    try:
        run([programs["initdb"], "-D", data, "-U", "lab", "-A", "scram-sha-256", "--no-sync",
             "-E", "UTF8", f"--pwfile={word}"])  # fmt: skip
        control = [programs["pg_ctl"], "-D", data, "-w", "-t", DEADLINE_S]
        common = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories='{folder}'"
        begin = [*control, "-l", str(folder / "log"), "start", "-o"]
        port = free_port()
        while run([*begin, f"{common} -p {port}"], check=False).returncode != 0:
            log = (folder / "log").read_text()
            assert "Address already in use" in log, log
            (folder / "log").unlink()
            port = free_port()  # another process was given it meanwhile
        number = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        try:
            yield f"postgresql+psycopg://lab:open%20sesame@127.0.0.1:{port}/postgres"
        finally:
            run([*control, "-m", "fast", "stop"])
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


class FolderWithRanges(FolderOfFiles):
    """Serves a folder, and parts of its files."""

    def do_GET(self) -> None:
        """Answer with the whole file, or with the range that is asked for."""
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = (int(end) for end in wanted.removeprefix("bytes=").split("-"))
        piece = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)


@pytest.fixture
def web_with_ranges(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files under ``tmp_path``, with ranges."""
    yield from serve(partial(FolderWithRanges, directory=str(tmp_path)))


class Bucket(FolderWithRanges):
    """The part of S3's protocol that reading needs: list, head and get, ranges; keys are checked.

    Source: Amazon Simple Storage Service API Reference, 2006-03-01.
    """

    protocol_version = "HTTP/1.1"
    access_key = "labkey"

    def do_HEAD(self) -> None:
        """What is known of an object, or of the bucket."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """An object, a range of one, or a list of objects."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        url = urlsplit(self.path)
        root = Path(self.directory)
        path = root / unquote(url.path).lstrip("/")
        if f"Credential={self.access_key}/" not in self.headers.get("Authorization", ""):
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", body)
        elif "list-type" in url.query:
            self._send(200, self._listed(path, parse_qs(url.query)), body)
        elif path.is_file():
            self._send_file(path, body)
        elif path.is_dir() and path.parent == root:
            self._send(200, b"", body)
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", body)

    def _send_file(self, path: Path, body: bool) -> None:
        content, code, headers = path.read_bytes(), 200, {}
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            end = min(int(last or len(content)) + 1, len(content))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            content, code = content[int(first) : end], 206
        self._send(code, content, body, headers)

    def _listed(self, bucket: Path, query: dict[str, list[str]]) -> bytes:
        prefix, deep = query.get("prefix", [""])[0], "delimiter" not in query
        files = sorted(str(f.relative_to(bucket)) for f in bucket.rglob("*") if f.is_file())
        keys = [key for key in files if key.startswith(prefix)]
        below = {key: key[len(prefix) :] for key in keys}
        direct = [key for key in keys if deep or "/" not in below[key]]
        folders = sorted({prefix + below[key].split("/")[0] for key in keys if key not in direct})
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{(bucket / key).stat().st_size}</Size>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in direct
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{each}/</Prefix></CommonPrefixes>" for each in folders
        )
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
            f"<KeyCount>{len(direct)}</KeyCount>{contents}{prefixes}</ListBucketResult>"
        ).encode()

    def _send(
        self, code: int, content: bytes, body: bool, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        more = {"Content-Length": str(len(content)), "ETag": '"1"', **(headers or {})}
        more["Last-Modified"] = "Mon, 01 Jan 2024 00:00:00 GMT"
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are the objects of ``s3://bucket``, served on this machine."""
    folder = tmp_path / "s3" / "bucket"
    folder.mkdir(parents=True)
    serving = serve(partial(Bucket, directory=str(folder.parent)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", next(serving))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", Bucket.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield folder
    next(serving, None)
