"""Several hosts on one machine: Linux network namespaces, each with an address, joined by a bridge.

A host is a namespace with its own interface, address and host name, and with its own temporary
folder, which has the same path on all hosts as ``/tmp`` has; the kernel, the clock and the rest of
the file system are shared. The bridge has an address as well, so that this
process is one more machine of the network: the one where the notebook runs. A link can be made
slow, cut and restored. Needs the rights to make namespaces and the commands ``ip`` and ``tc`` of
iproute2.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

INTERFACE = "eth0"  # of every host, inside it
PREFIX = "lk"
COMMAND_S = 20.0
END_S = 10.0
_NUMBERS = itertools.count()


def why_not() -> str:
    """Why there can be no namespaces here; empty where there can."""
    for command in ("ip", "tc", "unshare"):
        if shutil.which(command) is None:
            return f"{command} is not installed (iproute2, util-linux)"
    name = f"{PREFIX}-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
    except RuntimeError as error:
        return f"no right to make network namespaces: {error}"
    _ip("netns", "delete", name)
    return ""


@dataclass(slots=True)
class Host:
    """One machine of the network.

    Attributes:
        name: its host name, and the name of its namespace.
        address: on the network.
        uplink: the end of its cable at the bridge, outside the namespace.
        folder: its temporary folder, as it is called outside.
        mounted_at: what every host calls its own.
    """

    name: str
    address: str
    uplink: str
    folder: Path
    mounted_at: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a process on this host; it is ended with the network at the latest."""
        become = (
            f'mount --bind {self.folder} {self.mounted_at} && hostname {self.name} && exec "$@"'
        )
        inside = f"ip netns exec {self.name} unshare --uts --mount".split()
        process = subprocess.Popen(
            [*inside, "sh", "-c", become, "sh", *command],
            env={**os.environ, "TMPDIR": str(self.mounted_at), **(environment or {})},
            text=True,
            start_new_session=True,
            **options,
        )
        self.processes.append(process)
        return process

    def limit(self, bits_per_s: float | None) -> None:
        """Let this host send at most so many bits a second; ``None`` lifts the limit."""
        qdisc = ("-n", self.name, "qdisc")
        if bits_per_s is None:
            _run("tc", *qdisc, "delete", "dev", INTERFACE, "root")
            return
        # A burst of 10 ms at that rate, and of at least some packets; offloading hands over 64 KiB.
        burst_bytes = max(128_000, int(bits_per_s / 8 * 0.01))
        _run(
            "tc", *qdisc, "replace", "dev", INTERFACE, "root", "tbf",
            "rate", f"{bits_per_s:.0f}bit", "burst", str(burst_bytes), "latency", "200ms",
        )  # fmt: skip

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.uplink, "down")

    def restore(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.uplink, "up")

    def processes_inside(self) -> list[str]:
        """What runs on this host, as command lines."""
        commands = []
        for pid in _ip("netns", "pids", self.name).split():
            with contextlib.suppress(FileNotFoundError):
                commands.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        return commands


class Network:
    """Hosts on one bridge; a context manager that leaves nothing behind.

    Attributes:
        hosts: in order.
        cidr: the network, such as ``10.201.7.0/24``.
        address: of this process's machine.
    """

    def __init__(self, num_hosts: int) -> None:
        _remove_leftovers()
        number = next(_NUMBERS)
        self._mark = f"{os.getpid()}{chr(ord('a') + number % 26)}"
        self.bridge = f"{PREFIX}b{self._mark}"
        self._base = _free_network()
        self.cidr, self.address = f"{self._base}.0/24", f"{self._base}.254"
        self.hosts: list[Host] = []
        self._folder = Path(tempfile.mkdtemp(prefix="hosts-"))
        try:
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("address", "add", f"{self.address}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
            for _ in range(num_hosts):
                self.add_host()
        except BaseException:
            self.close()
            raise

    def add_host(self) -> None:
        """One more host, after the others."""
        at = len(self.hosts)
        address = f"{self._base}.{at + 1}"
        name, uplink = f"{PREFIX}-{self._mark}-{at}", f"{PREFIX}v{self._mark}{at}"
        folder = self._folder / f"host{at}"
        folder.mkdir(mode=0o700)
        (self._folder / "tmp").mkdir(mode=0o700, exist_ok=True)
        _ip("netns", "add", name)
        self.hosts.append(Host(name, address, uplink, folder, self._folder / "tmp"))
        _ip("link", "add", uplink, "type", "veth", "peer", "name", INTERFACE, "netns", name)
        _ip("-n", name, "address", "add", f"{address}/24", "dev", INTERFACE)
        for interface in ("lo", INTERFACE):
            _ip("-n", name, "link", "set", interface, "up")
        _ip("link", "set", uplink, "master", self.bridge, "up")

    def close(self) -> None:
        """End what runs on the hosts, then remove hosts, bridge and folders."""
        for host in self.hosts:
            for process in host.processes:
                process.terminate()
        for host in self.hosts:
            for process in host.processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END_S)
            _end_processes(host.name)
            for process in host.processes:
                process.wait(END_S)
            with contextlib.suppress(RuntimeError):
                _ip("link", "delete", host.uplink)
            _ip("netns", "delete", host.name)
        self.hosts.clear()
        with contextlib.suppress(RuntimeError):
            _ip("link", "delete", self.bridge)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _end_processes(namespace: str) -> None:
    """Kill what is still in a namespace; nobody else has ever started anything in one of ours."""
    for pid in _ip("netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _run(*command: str) -> str:
    """What a command printed; its complaint is an error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _free_network() -> str:
    """Three numbers of a network 10.x.y.0/24 that no interface here is in."""
    interfaces = json.loads(_ip("-json", "address"))
    taken = {a["local"].rpartition(".")[0] for i in interfaces for a in i["addr_info"]}
    while (base := f"10.{random.randrange(128, 250)}.{random.randrange(256)}") in taken:
        pass
    return base


def _remove_leftovers() -> None:
    """Remove namespaces and bridges of processes that were killed before they could."""
    for what, key, start in (("netns", "name", f"{PREFIX}-"), ("link", "ifname", f"{PREFIX}b")):
        found = json.loads(_ip("-json", what) or "[]")
        for name in (entry[key] for entry in found if entry[key].startswith(start)):
            pid = re.match(r"\d*", name.removeprefix(start)).group()  # type: ignore[union-attr]
            if pid and not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(RuntimeError):  # another test run may be faster
                    if what == "netns":
                        _end_processes(name)
                    _ip(what, "delete", name)
