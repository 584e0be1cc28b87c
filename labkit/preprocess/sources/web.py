"""Files on the web, read where they are needed: by ranges of bytes, if the server has them."""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

TIMEOUT_S = 60
BUFFER_BYTES = 1 << 20
IN_MEMORY_BYTES = 16 << 20  # of a file whose server has no ranges; the rest goes to the disk


def open_web_file(address: str) -> io.BufferedReader:
    """A file at ``http://`` or ``https://`` for reading and seeking.

    Raises:
        OSError: not there, or the server cannot be reached.
    """
    url, headers = _without_user(address)
    with _ask(url, {**headers, "Range": "bytes=0-0"}) as answer:
        if answer.status == 206:
            size = int(answer.headers["Content-Range"].rpartition("/")[2])
            return io.BufferedReader(WebFile(url, headers, size), BUFFER_BYTES)
        copy: Any = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - handed out
        shutil.copyfileobj(answer, copy)
    copy.seek(0)
    return io.BufferedReader(copy, BUFFER_BYTES)


class WebFile(io.RawIOBase):
    """Bytes of a web server that answers ranges.

    Args:
        url: without user and password.
        headers: of every question.
        size: of the file, bytes.
    """

    def __init__(self, url: str, headers: dict[str, str], size: int) -> None:
        self._url, self._headers, self._size = url, headers, size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, counted from the start, from here or from the end."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what follows."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        span = f"bytes={self._at}-{self._at + wanted - 1}"
        with _ask(self._url, {**self._headers, "Range": span}) as answer:
            content = answer.read()
        if len(content) != wanted:
            raise OSError(f"the server sent {len(content)} bytes instead of {wanted}")
        buffer[:wanted] = content
        self._at += wanted
        return wanted


def _ask(url: str, headers: dict[str, str]) -> Any:
    question = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(question, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"the server says {error.code} {error.reason}") from None


def _without_user(address: str) -> tuple[str, dict[str, str]]:
    """The address, and user and password as a header."""
    parts = urlsplit(address)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, {}
    token = base64.b64encode(unquote(login).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}
