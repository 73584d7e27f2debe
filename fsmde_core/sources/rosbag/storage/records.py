"""Represents recorded messages, and merges streams of them in order of time."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import header_stamp_ns


class BagMessage(NamedTuple):
    """Holds one message, still serialized (CDR). time_ns: when it was recorded, which is not its header's stamp."""

    time_ns: int
    topic: str
    data: bytes

    @property
    def stamp_ns(self) -> int:
        """The header's stamp; FsmdeError where the message has no header."""
        try:
            return header_stamp_ns(self.data)
        except struct.error as error:
            raise FsmdeError(f"a message of {len(self.data)} bytes on {self.topic} has no header: {error}") from error

    @property
    def frame_id(self) -> str:
        try:
            (length,) = struct.unpack_from("<I" if self.data[1] & 1 else ">I", self.data, 12)
            return self.data[16 : 15 + length].decode().lstrip("/")  # without the final zero; tf of old wrote a slash
        except (struct.error, ValueError, IndexError) as error:
            raise FsmdeError(f"a message of {len(self.data)} bytes on {self.topic} has no header: {error}") from error


def ros_names(topic: str, kind: str) -> tuple[str, str]:
    """Bring the names of other recorders to those of ROS 2.

    Args:
        topic: As it was recorded; on the wire of DDS it begins with `rt/`.
        kind: The type: `pkg/msg/Name`, `pkg/Name`, or `pkg::msg::dds_::Name_` as on the wire.

    Returns:
        The topic and the type.
    """
    parts = [part for part in kind.replace("::", "/").split("/") if part != "dds_"]
    if "::" in kind:
        parts[-1] = parts[-1].removesuffix("_")
        topic = "/" + topic.removeprefix("/").removeprefix("rt/")
    return topic, "/".join([parts[0], "msg", parts[1]] if len(parts) == 2 else parts)


class DamagedFileError(Exception):
    """Says where and why a file cannot be read on."""


def in_time_order(pieces: Iterable[tuple[int, Callable[[], Iterator[BagMessage]]]]) -> Iterator[BagMessage]:
    """Merge several streams by the time of recording; of equal times the earlier piece's record comes first.

    Pieces are (time of the earliest record, opener of a stream that is in order of time), sorted by that time. A piece
    is opened when the merged stream reaches it, so that only pieces which overlap are in memory together.
    """
    heap: list[tuple[int, int, BagMessage, Iterator[BagMessage]]] = []
    for number, (start_ns, open_piece) in enumerate(pieces):
        while heap and heap[0][0] < start_ns:
            yield from _pop_earliest(heap)
        records = open_piece()
        first = next(records, None)
        if first is not None:
            heapq.heappush(heap, (first.time_ns, number, first, records))
    while heap:
        yield from _pop_earliest(heap)


def _pop_earliest(heap: list[tuple[int, int, BagMessage, Iterator[BagMessage]]]) -> Iterator[BagMessage]:
    """Yield the earliest record, then put its stream's next one in its place."""
    _, number, record, records = heap[0]
    yield record
    following = next(records, None)
    if following is None:
        heapq.heappop(heap)
    else:
        heapq.heapreplace(heap, (following.time_ns, number, following, records))
