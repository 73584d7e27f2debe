"""Reads one mcap file of a bag block by block in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fsmde_core.sources.rosbag.storage.mcap_index import file_records, parse_record, parsing, read_index
from fsmde_core.sources.rosbag.storage.records import BagMessage, DamagedFileError, in_time_order


class McapFile:
    """Reads one file; only chunks that overlap in time are in memory together.

    topics: topic -> type of those with messages. start_ns: earliest time recorded. foreign: encodings other than CDR.
    damage: what is known to be wrong with the file, None when nothing is.
    Raises DamagedFileError when it is no mcap file, OSError when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index = read_index(path)
        used = {channel for channel, count in self._index.counts.items() if count and channel in self._index.topics}
        self.topics = {self._index.topics[channel]: self._index.types[channel] for channel in sorted(used)}
        self.foreign = self._index.foreign
        self.damage = self._index.damage
        self.start_ns = min(self._index.starts, default=0)

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Read messages of `topics` in order of recording time; DamagedFileError where they cannot be read on."""
        channels = {channel: topic for channel, topic in self._index.topics.items() if topic in topics}
        starts = np.asarray(self._index.starts)
        with self.path.open("rb") as file:
            yield from in_time_order(
                (int(starts[block]), partial(self._block, file, int(block), channels))
                for block in np.argsort(starts, kind="stable")
            )
        if self.damage:
            raise DamagedFileError(self.damage)

    def _block(self, file: BinaryIO, block: int, channels: dict[int, str]) -> Iterator[BagMessage]:
        from mcap.opcode import Opcode
        from mcap.records import Message

        offset, found = self._index.offsets[block], []
        for at, opcode, content in file_records(file, offset, offset + self._index.lengths[block]):
            if at == offset and opcode not in (Opcode.CHUNK, Opcode.MESSAGE):
                found_kind = f"a record of kind {opcode} where a chunk or message was expected"
                raise DamagedFileError(f"damaged at byte {at} ({found_kind})")
            with parsing(at):
                records = parse_record(opcode, content)
            for record in records:
                if isinstance(record, Message) and record.channel_id in channels:
                    found.append(BagMessage(record.log_time, channels[record.channel_id], record.data))
        return iter(sorted(found, key=lambda record: record.time_ns))
