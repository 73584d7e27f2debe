"""Reads the headers of JPEG and PNG streams: their size before anything is decoded, and whether they are whole."""

from __future__ import annotations

import re
from typing import NamedTuple

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"

# Between the parts of a JPEG, and within its pixels' bits where 0xff is followed by 0x00 or by a restart's number.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, by method of coding
_SEQUENTIAL = (0xC0, 0xC1)
_PNG_END, _PNG_HEADER_BYTES, _PNG_TAIL_BYTES = b"IEND", 33, 1024
_START, _END, _NO_LENGTH = 0xD8, 0xD9, 0x01


class StreamHeader(NamedTuple):
    """Describes a JPEG or PNG.

    kind: `jpeg` or `png`. width, height: pixels, 0 where the stream does not say. end: number of bytes that belong to
    the picture; what follows is padding, or another picture. is_closed: whether the end marker is there; of a PNG not
    looked for. is_sequential: whether pixels come row by row, so that a missing end is missing at the picture's bottom.
    """

    kind: str
    width: int
    height: int
    end: int
    is_closed: bool = True
    is_sequential: bool = True


def read_header(data: memoryview) -> StreamHeader | None:
    """Read the header of a stream, whatever its name or message says that it is; None when neither JPEG nor PNG."""
    if data[:2] == JPEG_START:
        return _read_jpeg(data)
    if data[:8] == PNG_START:
        return StreamHeader("png", _number(data[16:20]), _number(data[20:24]), len(data))
    return None


def tables_of(data: memoryview) -> bytes | None:
    """Return all of a stream but its pixels: another one with the same tables has the same size, and decodes as well.

    None where that is not so: without an end, with anything between the pixels, and where it is neither JPEG nor PNG.
    """
    header = read_header(data)
    if header is None or not header.is_closed:
        return None
    whole = bytes(data[: header.end])
    if header.kind == "png":
        return whole[:_PNG_HEADER_BYTES] if _PNG_END in whole[-_PNG_TAIL_BYTES:] else None
    scan = whole.find(JPEG_SCAN)
    pixels = scan + 2 + _number(data[scan + 2 : scan + 4])
    more = _MARKER.search(whole, pixels)
    return whole[:pixels] if scan > 0 and more and more.end() == header.end else None


def _read_jpeg(data: memoryview) -> StreamHeader:
    width = height = coding = 0
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        is_sequential = coding in _SEQUENTIAL
        if marker == _END:
            return StreamHeader("jpeg", width, height, at, True, is_sequential)
        if marker == _START:  # of the next picture, in a buffer that holds several
            return StreamHeader("jpeg", width, height, found.start(), False, is_sequential)
        if marker in _SIZES and not coding:
            coding, height, width = marker, _number(data[at + 3 : at + 5]), _number(data[at + 5 : at + 7])
        if marker != _NO_LENGTH:
            at += _number(data[at : at + 2])  # what is within may look like a marker: a preview is a JPEG itself
    end = len(bytes(data).rstrip(b"\0"))
    return StreamHeader("jpeg", width, height, end, False, coding in _SEQUENTIAL)


def _number(data: memoryview) -> int:
    return int.from_bytes(data, "big")
