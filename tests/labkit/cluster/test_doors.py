"""Locked doors: what another user of this machine can do to a lab in the middle of a run."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

import labkit
from labkit.cluster import private_network
from labkit.cluster.cluster import Cluster
from labkit.cluster.doors import network_obstacle
from labkit.cluster.fork_server import HOST_NETWORK, NETWORK_FILE
from labkit.cluster.rank_context import RankContext
from labkit.cluster.security import CERTIFICATE_FILE, make_certificate, warn_of_plain
from labkit.errors import RankFailed, SettingError

STRANGER = Path(__file__).with_name("stranger.py")
DEADLINE_S = 60.0
LISTENING = "0A"  # state of a socket in /proc/net/tcp
ON_PORT = ("come_in", "listen_to", "ask_for_page", "shake_hands")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become the other user who tries the doors"
)


def try_as_stranger(attempts: list[tuple[str, str | int]]) -> dict[str, str]:
    """What comes of these attempts of another user; see ``stranger.py``."""
    done = subprocess.run(
        [sys.executable, "-I", STRANGER],
        input=json.dumps(attempts),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    assert len(answers) == len(set(attempts)) > 0
    return answers


def let_in(answers: dict[str, str]) -> dict[str, str]:
    """The attempts that succeeded."""
    return {attempt: answer for attempt, answer in answers.items() if answer.startswith("got:")}


class Port(NamedTuple):
    """A TCP port on which a process listens."""

    host: str
    port: int
    network: str  # the network namespace


def listening(pid: int) -> set[Port]:
    """The ports of a process, as its own network namespace lists them."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(descriptor))
        except FileNotFoundError:
            continue
    network = os.readlink(f"/proc/{pid}/ns/net")
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                assert len(address) == 8, f"{fields[1]} is not IPv4"
                host = socket.inet_ntoa(bytes.fromhex(address)[::-1])
                found.add(Port(host, int(port, 16), network))
    return found


def obstacle_of(cluster: Cluster) -> str:
    """Why the kernel gave the ranks no network of their own; empty where it did."""
    return (cluster.folder / NETWORK_FILE).read_text()


def dask_addresses(cluster: Cluster) -> list[str]:
    """Of the scheduler, the workers and the nannies."""
    info = cluster.client.scheduler_info(n_workers=-1)
    nannies = [worker["nanny"] for worker in info["workers"].values()]
    return [info["address"], *info["workers"], *nannies]


def family() -> set[int]:
    """This process, where the scheduler is, and all that it started and that has not ended."""
    found = {os.getpid()}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def reduce_until_stopped(context: RankContext) -> float:
    """A run in progress: ranks that have connected, and wait for each other and for the end."""
    import torch
    import torch.distributed as dist

    value = torch.ones(2)
    dist.all_reduce(value)
    context.emit({"type": "reduced"})
    context.stop_flag.wait(DEADLINE_S)
    return float(value[0])


class Others(NamedTuple):
    """Other clusters of this session: their processes, and their ports in this one."""

    pids: set[int]
    ports: set[Port]

    def family(self) -> set[int]:
        """Processes of the cluster that was launched since."""
        return family() - self.pids

    def ports_since(self) -> set[Port]:
        """Ports of the cluster that was launched since."""
        return set().union(*(listening(pid) for pid in self.family())) - self.ports


@pytest.fixture(scope="module")
def others() -> Others:
    """What there is before the cluster of these tests."""
    return Others(family() - {os.getpid()}, listening(os.getpid()))


@pytest.fixture(scope="module")
def own_four(others: Others) -> Iterator[Cluster]:
    """Four CPU workers that no other module has."""
    with labkit.launch(4, device="cpu") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def running(own_four: Cluster) -> Iterator[Cluster]:
    """A cluster with a run in progress, in a temporary folder that others may enter."""
    reduced: set[int] = set()
    both = threading.Event()

    def note(rank: int, event: dict[str, object]) -> None:
        reduced.add(rank)
        if len(reduced) == 2:
            both.set()

    shared = Path(tempfile.gettempdir())
    before = shared.stat().st_mode
    gang = own_four.start_ranks(reduce_until_stopped, 2, on_event=note)
    try:
        assert both.wait(DEADLINE_S)
        shared.chmod(0o755)
        yield own_four
    finally:
        shared.chmod(before)
        gang.stop()
        assert gang.wait(DEADLINE_S) == [2.0, 2.0]


@needs_root
def test_another_user_gets_in_at_no_port(running: Cluster, others: Others) -> None:
    here = os.readlink("/proc/self/ns/net")
    ports = others.ports_since()
    assert {port.host for port in ports} == {"127.0.0.1"}
    on_host = {port.port for port in ports if port.network == here}
    of_dask = {int(address.rsplit(":", 1)[1]) for address in dask_addresses(running)}
    assert of_dask <= on_host
    if not obstacle_of(running):
        assert of_dask == on_host, "no web pages, and no ports of ranks"
    answers = try_as_stranger(
        [(name, port) for name in ON_PORT if name != "come_in" for port in of_dask]
    )
    assert let_in(answers) == {}

    if obstacle := obstacle_of(running):
        assert "every other user of it can take part, and so run code as you" in running.doors[2]
        pytest.skip(f"this kernel lets ranks have no network of their own: {obstacle}")
    of_ranks = {port.port for port in ports if port.network != here}
    assert len(of_ranks) >= 3, "two ranks of gloo and a store"
    answers = try_as_stranger([("come_in", port) for port in of_ranks - on_host])
    assert let_in(answers) == {}


@needs_root
def test_another_user_reads_no_file_and_reaches_no_unix_socket(
    running: Cluster, others: Others
) -> None:
    inside = [running.folder, *running.folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in inside if path.exists()}
    shared = {
        line.split(maxsplit=5)[5]
        for pid in others.family()
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if " /dev/shm/" in line and not line.endswith("(deleted)")
    }
    names = ("environ", "ns/net", "maps")
    secrets = [f"/proc/{pid}/{name}" for pid in others.family() for name in names]
    files = [str(path) for path, mode in modes.items() if stat.S_ISREG(mode)]
    sockets = [str(path) for path, mode in modes.items() if stat.S_ISSOCK(mode)]
    folders = [str(path) for path, mode in modes.items() if stat.S_ISDIR(mode)]
    assert str(running.folder / CERTIFICATE_FILE) in files
    assert len(sockets) == 1
    answers = try_as_stranger(
        [
            *(("read_file", path) for path in [*files, *secrets, *sorted(shared)]),
            *(("list_folder", path) for path in folders),
            *(("knock", path) for path in sockets),
        ]
    )
    assert let_in(answers) == {}


@needs_root
def test_the_stranger_is_no_coward(tmp_path: Path) -> None:
    """Each attempt succeeds where a door is open, so that its failure means something."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="labtest-open-") as folder:
        public = Path(folder)
        public.chmod(0o755)
        (public / "file").write_text("secret")
        with (
            plain_greeter() as greeter,
            page_server() as pages,
            tls_server(tmp_path) as tls,
            socket.socket(socket.AF_UNIX) as door,
        ):
            door.bind(str(public / "socket"))
            door.listen()
            (public / "socket").chmod(0o777)
            answers = try_as_stranger(
                [
                    ("come_in", pages),
                    ("listen_to", greeter),
                    ("ask_for_page", pages),
                    ("shake_hands", tls),
                    ("read_file", f"{folder}/file"),
                    ("list_folder", folder),
                    ("knock", f"{folder}/socket"),
                ]
            )
    assert let_in(answers) == answers


@contextmanager
def served(server: socket.socket, talk: object) -> Iterator[int]:
    """Answer one connection in a thread."""

    def answer() -> None:
        peer, _ = server.accept()
        talk(peer)  # type: ignore[operator]

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        thread.join(DEADLINE_S)
        server.close()


@contextmanager
def plain_greeter() -> Iterator[int]:
    def greet(peer: socket.socket) -> None:
        with peer:
            peer.sendall(b"welcome")

    with served(socket.create_server(("127.0.0.1", 0)), greet) as port:
        yield port


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    """TLS that asks nobody for a certificate."""
    make_certificate(folder / "own.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")

    def greet(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as inner:
            inner.sendall(inner.recv(100))

    with served(socket.create_server(("127.0.0.1", 0)), greet) as port:
        yield port


@contextmanager
def page_server() -> Iterator[int]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)


def test_the_same_user_without_the_certificate_is_refused_too(
    cluster4: Cluster, tmp_path: Path
) -> None:
    assert cluster4.client.scheduler is not None
    address = cluster4.client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    make_certificate(tmp_path / "other.pem")
    with pytest.raises(SettingError, match="no Dask scheduler answers at"):
        labkit.launch(1, address=address, security=tmp_path / "other.pem", timeout_s=2.0)
    plain = address.replace("tls://", "tcp://")
    with pytest.raises(SettingError, match=r"give the address that the scheduler printed"):
        labkit.launch(1, address=plain, timeout_s=2.0)


def test_another_notebook_of_this_user_joins_by_the_certificate(cluster4: Cluster) -> None:
    assert cluster4.client.scheduler is not None
    certificate = cluster4.folder / CERTIFICATE_FILE
    assert stat.S_IMODE(certificate.stat().st_mode) == 0o600
    address = cluster4.client.scheduler.address
    with labkit.launch(4, address=address, security=certificate) as joined:
        assert joined.run_ranks(rank_and_network, 2)[1][0] == 1
        assert "TLS; nobody gets in without the certificate" in joined.doors[0]


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    tls = "tls://127.0.0.1:9"
    with pytest.raises(SettingError, match=r"tls_ca_file and tls_client_cert of it is not known"):
        labkit.launch(1, address=tls)
    with pytest.raises(SettingError, match=r"security='nowhere.pem' is no file that can be read"):
        labkit.launch(1, address=tls, security="nowhere.pem")
    make_certificate(tmp_path / "mine.pem")
    with pytest.raises(SettingError, match=r"tcp://127.0.0.1:9 is not encrypted, but security="):
        labkit.launch(1, address="tcp://127.0.0.1:9", security=tmp_path / "mine.pem")


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("10.0.0.1:8786", True),
        ("tls://10.0.0.1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("localhost:8786", False),
    ],
)
def test_an_address_across_a_network_without_encryption_is_warned_of(
    address: str, warned: bool
) -> None:
    assert ("without encryption" in warn_of_plain(address)) is warned


def test_the_doors_are_told_in_plain_sentences(
    cluster4: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask, pages, ranks, files = cluster4.doors
    assert dask.startswith("Scheduler and workers at 127.0.0.1:")
    assert "TLS; nobody gets in without the certificate that is made for this cluster" in dask
    assert pages == "Dask's web pages: closed."
    assert cluster4.dashboard_url == ""
    assert ranks.startswith("Ranks, their store and their collectives: ")
    assert str(cluster4.folder) in files
    before = obstacle_of(cluster4)
    try:
        (cluster4.folder / NETWORK_FILE).write_text("the kernel forbids it")
        assert "run code as you (the kernel forbids it)" in cluster4.doors[2]
        (cluster4.folder / NETWORK_FILE).write_text(HOST_NETWORK)
        assert network_obstacle(cluster4) == HOST_NETWORK
        monkeypatch.setattr(Cluster, "backend", "nccl")
        assert "run code as you (ranks that use NCCL stay on it)" in cluster4.doors[2]
    finally:
        (cluster4.folder / NETWORK_FILE).write_text(before)


def rank_and_network(context: RankContext) -> tuple[int, str, list[str]]:
    return context.rank, os.readlink("/proc/self/ns/net"), sorted(psutil.net_if_addrs())


def test_ranks_have_a_network_of_their_own_unless_they_are_to_use_the_hosts(
    cluster4: Cluster,
) -> None:
    here = os.readlink("/proc/self/ns/net")
    answers = cluster4.run_ranks(rank_and_network, 2)
    (network,) = {answer[1] for answer in answers}
    if obstacle := obstacle_of(cluster4):
        assert network == here
        assert f"run code as you ({obstacle})" in cluster4.doors[2]
    else:
        assert network != here
        assert [answer[2] for answer in answers] == [["lo"], ["lo"]]
        assert "a network of their own" in cluster4.doors[2]

    with labkit.launch(1, device="cpu", private_network=False) as cluster:
        assert cluster.run_ranks(rank_and_network, 1)[0][1] == here
        assert "no network of their own was asked for" in cluster.doors[2]
    assert cluster.doors == ["The cluster is closed, and so is every door."]


def test_a_rank_that_wants_to_download_is_told_how(cluster4: Cluster) -> None:
    def download(context: RankContext) -> bytes:
        import urllib.request

        with urllib.request.urlopen("http://192.0.2.1/weights", timeout=0.5) as answer:
            data: bytes = answer.read()
        return data

    with pytest.raises(RankFailed) as error:
        cluster4.run_ranks(download, 1)
    assert ("launch(private_network=False)" in str(error.value)) == (not obstacle_of(cluster4))


WITHOUT_ROOT = """
import ctypes, importlib.util, os, socket, sys
spec = importlib.util.spec_from_file_location("private_network", sys.argv[1])
private_network = importlib.util.module_from_spec(spec)
spec.loader.exec_module(private_network)
"".encode("idna")
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    # A user's own processes are so from their start: PR_SET_DUMPABLE.
    ctypes.CDLL(None).prctl(4, 1)
me = os.getuid(), os.getgid()
outside = os.readlink("/proc/self/ns/net")
obstacle = private_network.enter()
if obstacle:
    sys.exit(f"forbidden: {obstacle}")
assert os.readlink("/proc/self/ns/net") != outside
assert (os.getuid(), os.getgid()) == me
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()
print(sorted(name for _, name in socket.if_nameindex()))
"""


def test_a_user_without_roots_rights_gets_a_network_too_and_stays_who_they_are() -> None:
    """By a user namespace."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_ROOT, private_network.__file__],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.stderr.startswith("forbidden: "):
        pytest.skip(f"this kernel lets users have no network of their own: {done.stderr}")
    assert done.stdout == "['lo']\n", done.stderr


def test_a_kernel_that_forbids_it_leaves_the_process_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbid(flags: int) -> None:
        raise PermissionError(1, "Operation not permitted", "unshare")

    monkeypatch.setattr(private_network, "_unshare", forbid)
    here = os.readlink("/proc/self/ns/net")
    assert "Operation not permitted: 'unshare'" in private_network.enter()
    assert os.readlink("/proc/self/ns/net") == here


def test_a_dashboard_without_bokeh_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labkit.cluster.launch.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"dashboard=True needs bokeh; install it"):
        labkit.launch(1, dashboard=True)


def test_a_certificate_is_never_written_over(tmp_path: Path) -> None:
    make_certificate(tmp_path / "mine.pem")
    with pytest.raises(FileExistsError):
        make_certificate(tmp_path / "mine.pem")
