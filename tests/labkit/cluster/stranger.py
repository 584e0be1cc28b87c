"""Another user of this machine, who tries every door. A program of its own, run by root.

It reads what to try from standard input, becomes the user ``nobody``, tries, and prints what came
of it: ``{"ATTEMPT": "how it was refused" or "got: what"}``, JSON both ways.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from collections.abc import Callable

NOBODY = 65534
WAIT_S = 1.0  # a server that talks to strangers does so at once
TLS_ALERT = 0x15  # type of the record by which TLS says no


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def come_in(port: int) -> str:
    """Whether anything listens there that lets a stranger connect."""
    with connect(port):
        return "got: a connection"


def listen_to(port: int) -> str:
    """Dask's and many other servers greet whoever connects."""
    with connect(port) as peer:
        try:
            return _answer(peer.recv(100))
        except TimeoutError:
            return "it says nothing"


def ask_for_page(port: int) -> str:
    """A page of Jupyter's interface, which other servers do not have and answer nevertheless."""
    with connect(port) as peer:
        peer.sendall(b"GET /api/contents HTTP/1.0\r\n\r\n")
        answer = peer.recv(1000)
    return "a token is asked for" if answer.split(b" ")[1:2] == [b"403"] else _answer(answer)


def shake_hands(port: int) -> str:
    """TLS without a certificate; the server's refusal may come only after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(port) as plain, context.wrap_socket(plain) as peer:
        peer.sendall(b"let me in")
        try:
            return _answer(peer.recv(100))
        except TimeoutError:
            return "got: a connection that stays open"


def read_file(path: str) -> str:
    with open(path, "rb") as file:
        return f"got: {file.read(20)!r}"


def list_folder(path: str) -> str:
    return f"got: {sorted(os.listdir(path))[:3]}"


def knock(path: str) -> str:
    """Connect to a Unix socket of either kind."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            with socket.socket(socket.AF_UNIX, kind) as peer:
                peer.connect(path)
                return "got: a connection"
        except OSError as error:
            refused = error
    raise refused


def _answer(data: bytes) -> str:
    if not data:
        return "it hangs up"
    return "it sends an alert" if data[0] == TLS_ALERT else f"got: {data[:30]!r}"


ATTEMPTS: dict[str, Callable[..., str]] = {
    each.__name__: each
    for each in (come_in, listen_to, ask_for_page, shake_hands, read_file, list_folder, knock)
}


def try_one(name: str, target: str | int) -> str:
    try:
        return ATTEMPTS[name](target)
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    wanted: list[tuple[str, str | int]] = json.load(sys.stdin)
    # Imported on first use, from where nobody may not be able to read.
    "".encode("idna")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    json.dump({f"{name} {target}": try_one(name, target) for name, target in wanted}, sys.stdout)


if __name__ == "__main__":
    main()
