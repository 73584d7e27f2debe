"""Indexes where the messages of an mcap file are: a compact table of its blocks, from its summary or by a scan.

A block is one chunk, or a run of messages outside chunks. The table takes 24 bytes per block; nothing is kept per
message. Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from fsmde_core.sources.rosbag.storage.records import DamagedFileError, ros_names

MAGIC = b"\x89MCAP0\r\n"
FOOTER_BYTES = 29  # with its opcode and length
RUN_BYTES = 1 << 20
_HEAD = struct.Struct("<BQ")  # opcode and length of every record


@dataclass
class McapIndex:
    """Holds what an mcap file contains, and where.

    topics, types: channel id -> topic and type, of CDR messages. counts: channel id -> messages.
    starts, offsets, lengths: of every block, its earliest log time in ns and its bytes in the file. damage: where and
    why the file ends early, None for a whole one. foreign: encodings other than CDR.
    """

    topics: dict[int, str] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    starts: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("Q"))
    damage: str | None = None
    foreign: set[str] = field(default_factory=set)
    _schemas: dict[int, str] = field(default_factory=dict)

    def add_records(self, records: Iterable[Any]) -> int | None:
        """Add definitions and count messages; return the earliest log time of these, None without any."""
        from mcap.records import Channel, Message, Schema

        start_ns: int | None = None
        for record in records:
            if isinstance(record, Message):
                self.counts[record.channel_id] += 1
                start_ns = record.log_time if start_ns is None else min(start_ns, record.log_time)
            elif isinstance(record, Schema):
                self._schemas[record.id] = record.name
            elif isinstance(record, Channel) and record.message_encoding != "cdr":
                self.foreign.add(record.message_encoding)
            elif isinstance(record, Channel):
                names = ros_names(record.topic, self._schemas.get(record.schema_id, ""))
                self.topics[record.id], self.types[record.id] = names
        return start_ns

    def add_block(self, start_ns: int, offset: int, length: int) -> None:
        self.starts.append(start_ns)
        self.offsets.append(offset)
        self.lengths.append(length)


def read_index(path: Path) -> McapIndex:
    """Index a file; without a whole summary (a recording that was cut off) it is scanned once.

    Raises DamagedFileError when it is no mcap file, OSError when it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise DamagedFileError(f"it is no mcap file: it does not begin with {MAGIC!r}")
        return _from_summary(file, path.stat().st_size) or _from_scan(file, path.stat().st_size)


def file_records(file: BinaryIO, offset: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    # (offset, opcode, content) of every record from byte `offset` to byte `end`.
    file.seek(offset)
    while offset < end:
        head = file.read(_HEAD.size)
        opcode, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, end)
        if offset + _HEAD.size + length > end:
            raise DamagedFileError(f"cut off or damaged at byte {offset}")
        yield offset, opcode, file.read(length)
        offset += _HEAD.size + length


def parse_record(opcode: int, content: bytes) -> list[Any]:
    # Objects of `mcap.records`: all that a chunk holds, its checksum verified, or the message or definition itself.
    from mcap.data_stream import ReadDataStream
    from mcap.opcode import Opcode
    from mcap.records import Channel, Chunk, Message, Schema
    from mcap.stream_reader import breakup_chunk

    stream = ReadDataStream(BytesIO(content))
    if opcode == Opcode.CHUNK:
        return breakup_chunk(Chunk.read(stream), validate_crc=True)
    if opcode == Opcode.MESSAGE:
        return [Message.read(stream, len(content))]
    readers = {Opcode.CHANNEL: Channel.read, Opcode.SCHEMA: Schema.read}
    return [readers[Opcode(opcode)](stream)] if opcode in readers else []


@contextmanager
def parsing(offset: int) -> Iterator[None]:
    """Turn everything that the libraries raise on broken content into DamagedFileError with the record's byte."""
    from mcap.exceptions import McapError
    from zstandard import ZstdError

    broken = (McapError, ZstdError, ValueError, struct.error, RuntimeError, MemoryError, OverflowError)  # lz4: Runtime
    try:
        yield
    except broken as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(f"damaged at byte {offset} ({reason})") from error


def _from_summary(file: BinaryIO, size: int) -> McapIndex | None:
    """Read the index that the file holds itself; None without a whole one."""
    from mcap.data_stream import ReadDataStream
    from mcap.opcode import Opcode
    from mcap.records import ChunkIndex, Footer, Statistics

    end = size - len(MAGIC) - FOOTER_BYTES
    file.seek(max(end, 0))
    footer = file.read()
    if not footer.endswith(MAGIC) or _HEAD.unpack_from(footer) != (Opcode.FOOTER, FOOTER_BYTES - _HEAD.size):
        return None
    index, chunks = McapIndex(), -1
    try:
        with parsing(end):
            start = Footer.read(ReadDataStream(BytesIO(footer[_HEAD.size :]))).summary_start
            for _, opcode, content in file_records(file, start or end, end):
                stream = ReadDataStream(BytesIO(content))
                if opcode == Opcode.CHUNK_INDEX:
                    chunk = ChunkIndex.read(stream)
                    index.add_block(chunk.message_start_time, chunk.chunk_start_offset, chunk.chunk_length)
                elif opcode == Opcode.STATISTICS:
                    statistics = Statistics.read(stream)
                    chunks = statistics.chunk_count
                    index.counts.update(statistics.channel_message_counts)
                index.add_records(parse_record(opcode, content))
    except DamagedFileError:
        return None
    # Messages outside chunks have no index; definitions, statistics and chunk indexes are optional in a summary.
    whole = chunks == len(index.starts) > 0 and (index.topics or index.foreign)
    return index if whole else None


def _from_scan(file: BinaryIO, size: int) -> McapIndex:
    """Index what can be read, with one record in memory at a time."""
    from mcap.opcode import Opcode

    index, in_run = McapIndex(), False
    try:
        for offset, opcode, content in file_records(file, len(MAGIC), size):
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return index
            with parsing(offset):
                start_ns = index.add_records(parse_record(opcode, content))
            if start_ns is not None:
                length = _HEAD.size + len(content)
                if in_run and opcode == Opcode.MESSAGE and index.lengths[-1] < RUN_BYTES:
                    index.starts[-1] = min(index.starts[-1], start_ns)
                    index.lengths[-1] = offset + length - index.offsets[-1]
                else:
                    index.add_block(start_ns, offset, length)
                in_run = opcode == Opcode.MESSAGE
        index.damage = f"cut off at byte {size}"
    except DamagedFileError as damage:
        index.damage = str(damage)
    return index
