"""A network namespace of its own for a process and all that it forks later.

The rendezvous store and gloo know neither passwords nor encryption: whoever reaches their ports is
let in. On the host's loopback that is every user of the machine. In a namespace of their own they
have a loopback that nobody else can reach, and no other interface. Unix sockets, files, signals
and pids work across as before.

Needs Linux, and either root's rights over networks or user namespaces, which some containers and
distributions forbid. Uses the standard library only, and can be run as a script: it prints why
this host does not allow a network of one's own, or nothing.

Source: network_namespaces(7), user_namespaces(7), netdevice(7).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
OUTSIDE = (
    "; ranks have a network of their own, without a way out: labkit.launch(private_network=False) "
    "gives them this machine's"
)
INTERFACE_REQUEST = struct.Struct("16sh22x")  # struct ifreq with a name and flags


def enter() -> str:
    """Move this process into a network of its own, with loopback up.

    Only this thread and what it forks move, and the kernel may refuse a process with more threads:
    call it before any is started. It is tried in a forked child first, so that a host that
    forbids it halfway leaves this process as it was.

    Returns:
        Empty when done; else why it cannot be, and this process is where it was.
    """
    obstacle = try_in_child()
    if not obstacle:
        _enter()
    return obstacle


def try_in_child() -> str:
    """Why ``enter`` would fail here; empty when it would not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter()
            code = 0
        except OSError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(code)
    os.close(write)
    with open(read, encoding="utf-8") as answer:
        obstacle = answer.read()
    _, status = os.waitpid(child, 0)
    return obstacle if obstacle or status == 0 else f"the trial ended with status {status}"


def explain(error: BaseException) -> str:
    """What to add to an error of a program that asked for another host from in here; else empty."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        return ""
    cause: BaseException | None = error
    while cause is not None:
        reason = getattr(cause, "reason", None)  # where urllib keeps it
        for each in (cause, reason):
            unreachable = isinstance(each, OSError) and each.errno == errno.ENETUNREACH
            if unreachable or isinstance(each, socket.gaierror):
                return OUTSIDE
        cause = cause.__cause__ or cause.__context__
    return ""


def _enter() -> None:
    """As ``enter``, without a trial.

    Raises:
        OSError: the kernel refuses one of the steps; names it.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _unshare(CLONE_NEWNET)  # root's way: it stays the same user with the same rights
    except PermissionError:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
        # The kernel asks for this before a user may say which group it is.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = INTERFACE_REQUEST.pack(b"lo", 0)
        name, flags = INTERFACE_REQUEST.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, INTERFACE_REQUEST.pack(name, flags | IFF_UP))


def _unshare(flags: int) -> None:
    """``os.unshare``, which Python has from 3.12 on."""
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.stdout.write(try_in_child())
