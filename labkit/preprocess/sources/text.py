"""Text files as bytes: cut at line ends into parts, decoded strictly, wherever they lie.

Offsets are those of the plain text: a compressed file is uncompressed, and UTF-16 and UTF-32 are
brought to UTF-8, while they stream by.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np

from labkit.errors import SourceError
from labkit.preprocess.schema import MAX_PART_ROWS
from labkit.preprocess.sources.batches import Span
from labkit.preprocess.sources.places import compression_of, hide_password, open_file

CHUNK_BYTES = 1 << 20
SMALL_BYTES = 4 << 20  # one part
PART_BYTES = 16 << 20
BOM = codecs.BOM_UTF8


def first_line(source: str, encoding: str, quote: bytes = b"") -> tuple[str, int]:
    """The first line, which may go on within quotes, and the byte after it."""
    held = b""
    for chunk in _chunks(source, encoding, 0):
        held += chunk
        end = _cut(held, 0, quote)
        if end >= 0:
            held = held[: end + 1]
            break
    return _decoded(held, source, encoding, 0).removeprefix("\ufeff"), len(held)


def byte_order(source: str) -> str:
    """The encoding that a file's first bytes tell: utf-16 or utf-32; empty if they tell none."""
    with open_file(source, compression_of(source)) as file:
        first = file.read(4)
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""


def head_lines(source: str, encoding: str, num_lines: int) -> list[str]:
    """The first whole lines, as many as stand in the first chunk at most."""
    chunk = next(_chunks(source, encoding, 0), b"")
    whole = chunk if len(chunk) < CHUNK_BYTES // 2 else chunk[: chunk.rfind(b"\n") + 1]
    lines = (whole or chunk).split(b"\n")[:num_lines]
    return _decoded(b"\n".join(lines), source, encoding, 0).removeprefix("\ufeff").split("\n")


def find_spans(source: str, start: int, encoding: str, quote: bytes = b"") -> list[Span]:
    """Parts of the text from byte ``start``, each of whole lines; none if only blanks follow.

    Large files are read once to find line ends that are outside quotes.
    """
    spans: list[Span] = []
    first, at, odd = start, start, 0  # of the span, of the chunk, quotes before it
    first_row = rows = 0
    blank = True
    for chunk in _chunks(source, encoding, start):
        blank = blank and not chunk.strip()
        lines = _count_lines(chunk, odd, quote)
        if at > first and (at + len(chunk) - first > PART_BYTES or rows + lines > MAX_PART_ROWS):
            end = _cut(chunk, odd, quote)
            if end >= 0:
                head = _count_lines(chunk[: end + 1], odd, quote)
                spans.append(Span(first, at + end + 1, first_row))
                first, first_row, rows = at + end + 1, first_row + rows + head, -head
        rows += lines
        odd ^= chunk.count(quote) % 2 if quote else 0
        at += len(chunk)
    if blank:
        return []
    return [*spans, Span(first, at, first_row)] if at > first else spans


def read_bytes(source: str, span: Span, encoding: str) -> bytes:
    """A part of the text as UTF-8.

    Raises:
        SourceError: bytes that are not of that encoding.
    """
    held = []
    left = span.stop - span.start
    for chunk in _chunks(source, encoding, span.start):
        held.append(chunk[:left])
        left -= len(held[-1])
        if not left:
            break
    if left:
        raise OSError(f"it became {left} bytes shorter while it was being read")
    content = b"".join(held)
    text = _decoded(content, source, encoding, span.start)
    utf8 = content if _plain_encoding(encoding) == "utf-8" else text.encode()
    return utf8.removeprefix(BOM)


def _chunks(source: str, encoding: str, start: int) -> Iterator[bytes]:
    """The text from an offset on, in the encoding that ``_plain_encoding`` names."""
    compression = compression_of(source)
    recoded = _plain_encoding(encoding) != codecs.lookup(encoding).name
    with open_file(source, compression) as file:
        if not compression and not recoded:
            file.seek(start)
            start = 0
        decoder = codecs.getincrementaldecoder(encoding)() if recoded else None
        taken = 0
        while True:
            raw = file.read(CHUNK_BYTES)
            chunk = raw
            if decoder is not None:
                try:
                    chunk = decoder.decode(raw, final=not raw).encode()
                except UnicodeDecodeError as error:
                    raise _wrong_encoding(source, encoding, error, taken) from error
            taken += len(raw)
            if chunk[start:]:
                yield chunk[start:]
            start = max(start - len(chunk), 0)
            if not raw:
                return


def _plain_encoding(encoding: str) -> str:
    """The encoding of the chunks: one in which line ends and quotes are single bytes."""
    name = codecs.lookup(encoding).name
    return "utf-8" if name.startswith(("utf-16", "utf-32", "utf-8")) else name


def _decoded(content: bytes, source: str, encoding: str, start: int) -> str:
    try:
        return content.decode(_plain_encoding(encoding))
    except UnicodeDecodeError as error:
        raise _wrong_encoding(source, encoding, error, start) from error


def _wrong_encoding(
    source: str, encoding: str, error: UnicodeDecodeError, start: int
) -> SourceError:
    byte = error.object[error.start]
    return SourceError(
        f"source {hide_password(source)}: byte {start + error.start} (0x{byte:02x}) is not "
        f'{encoding}; say in the specification how the file is written, such as encoding = "cp1252"'
    )


def _cut(chunk: bytes, odd: int, quote: bytes) -> int:
    """Place of the first line end outside quotes, or -1; ``odd``: the chunk begins inside some."""
    end = chunk.find(b"\n")
    counted = 0
    while end >= 0 and quote:
        odd ^= chunk.count(quote, counted, end) % 2
        if not odd:
            break
        counted, end = end, chunk.find(b"\n", end + 1)
    return end


def _count_lines(chunk: bytes, odd: int, quote: bytes) -> int:
    if not quote or quote not in chunk:
        return 0 if odd else chunk.count(b"\n")
    content = np.frombuffer(chunk, dtype=np.uint8)
    ends, quotes = (np.flatnonzero(content == ord(each)) for each in (b"\n", quote))
    quotes_before = np.searchsorted(quotes, ends) + odd
    return int(np.count_nonzero(quotes_before % 2 == 0))
