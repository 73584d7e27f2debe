"""Counts what became of a bag's images, sweeps and poses, each once however often the bag is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fsmde_core.sources.counts import ItemCount, ReadingCounts

IMAGES, SWEEPS, POSES = "images", "sweeps", "poses"
_READ = ""  # the reason of what was not left out
WRONG_CLOCK_NS = 1_000_000_000
"""Stamps that lie further than this from those of what was recorded beside them are of another clock."""


class LeftOut(NamedTuple):
    """Says that a message is in no frame. kind: IMAGES, SWEEPS or POSES. reason: few words, the same for all like it.

    detail: a sentence on the first one, for a note; without one there is no note.
    """

    kind: str
    topic: str
    reason: str
    detail: str = ""


class Ledger:
    """Holds the counts over all passes through a bag: every pass counts anew, and the highest number stays."""

    def __init__(self, path: Path) -> None:
        self.counts = ReadingCounts()
        self._path = path
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self._made: Counter[tuple[str, str, str]] = Counter()  # of the numbers, what frames lost when they were made
        self._details: dict[tuple[str, str, str], str] = {}
        self._moved: Counter[str] = Counter()
        self._frames: set[int] = set()

    @property
    def notes(self) -> list[str]:
        """Sentences on what was left out; topics with the same fault share one."""
        topics: dict[tuple[str, int, int, str], list[str]] = {}
        for (kind, topic, reason), detail in self._details.items():
            number, read = self._numbers[kind, topic, reason], self._numbers[kind, topic, _READ]
            topics.setdefault((kind, number, read, detail), []).append(topic)
        return [self._note(*key, same) for key, same in topics.items()] + [
            f"the bag {self._path} has {number} sweeps on {topic} far from their images: they were moved to the "
            "images' time by the vehicle's motion"
            for topic, number in self._moved.items()
        ]

    def raise_moved(self, topic: str, number: int) -> None:
        self._moved[topic] = max(self._moved[topic], number)

    def raise_to(self, left_out: LeftOut, number: int, is_latest: bool = False) -> None:
        kind, topic, reason, detail = left_out
        key = kind, topic, reason
        more = number + self._made[key] - self._numbers[key]
        if more <= 0:
            return
        self._numbers[key] += more
        if detail and (is_latest or key not in self._details):
            self._details[key] = detail
        count: ItemCount = getattr(self.counts, kind)
        if reason == _READ:
            count.read += more
        else:
            count.left_out[reason] += more

    def count_frame(self, index: int, left_out: Iterable[LeftOut]) -> None:
        # What a frame loses when it is made; frames may be made several times, and not in order.
        found = list(left_out)
        if found and index not in self._frames:
            self._frames.add(index)
            for one in found:
                in_passes = self._numbers[one[:3]] - self._made[one[:3]]
                self._made[one[:3]] += 1
                self.raise_to(one, in_passes)

    def _note(self, kind: str, number: int, read: int, detail: str, topics: list[str]) -> str:
        where = topics[0] if len(topics) == 1 else f"each of {', '.join(topics)}"
        share = "none used" if number >= read else f"{number} left out"
        return f"the bag {self._path} has {read} {kind} on {where}, {share}, {detail}"


class PassCounts:
    """Counts one pass through the bag.

    offsets_ns: by kind, how far the latest header's stamp was ahead of the time of recording.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self._moved: Counter[str] = Counter()
        self.offsets_ns: dict[str, int] = {}

    def add_read(self, kind: str, topic: str) -> None:
        self.add_left_out(LeftOut(kind, topic, _READ))

    def add_left_out(self, left_out: LeftOut) -> None:
        key = left_out[:3]
        self._numbers[key] += 1
        self._ledger.raise_to(left_out, self._numbers[key])

    def set_left_out(self, left_out: LeftOut, number: int) -> None:
        # The latest detail stays: what is told of all, such as an offset, is known better by and by.
        self._ledger.raise_to(left_out, number, is_latest=True)

    def add_moved(self, topic: str) -> None:
        self._moved[topic] += 1
        self._ledger.raise_moved(topic, self._moved[topic])
