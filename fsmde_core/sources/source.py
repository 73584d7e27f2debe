"""Defines what every recording offers: a length, a rig, and frames in order of time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.counts import ItemCount, ReadingCounts


class Source(Protocol):
    """Describes a recording. `rig` is the calibration of its first frame; `name` is what tables and files call it.

    `counts` say how many images, sweeps and poses were read and used; `notes` are sentences on what a reader of its
    results should know, such as where a bag is damaged. Both grow while frames are read.
    """

    name: str
    rig: Rig

    @property
    def counts(self) -> ReadingCounts: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Read frames in order of time, one in memory at a time.

        Args:
            start, stop: Range of frames, by the rules of Python's slices.

        Yields:
            The frames.
        """
        ...


class Omission(NamedTuple):
    """Describes an image or a sweep that a frame has to do without. example: names it, for all of that reason."""

    kind: Literal["images", "sweeps"]
    reason: str
    example: str


class IndexedSource(ABC):
    """Provides `frames` and `counts` to sources with random access, which implement `frame(index)` and `__len__`."""

    name: str
    rig: Rig
    notes: Sequence[str] = ()

    @cached_property
    def counts(self) -> ReadingCounts:
        """What the frames read so far hold, each frame once however often it is read."""
        return ReadingCounts()

    @cached_property
    def _counted(self) -> set[int]:
        return set()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """Read the files of the frame at `index`, 0 <= index < len(self), and of no other."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(len(self))):
            frame = self.frame(index)
            self._count_once(index, frame)
            yield frame

    def _count_once(self, index: int, frame: Frame, omitted: Sequence[Omission] = ()) -> None:
        if index in self._counted:
            return
        self._counted.add(index)
        self.counts.images.read += len(frame.images)
        self.counts.sweeps.read += frame.lidar is not None
        self.counts.poses.read += len(frame.T_world_base) + (frame.lidar is not None)
        counts: dict[str, ItemCount] = dict(self.counts)
        for kind, reason, _ in omitted:
            counts[kind].read += 1
            counts[kind].left_out[reason] += 1


def choose_cameras(found: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Choose cameras of a recording.

    Args:
        found: Names of those that are there.
        wanted: Names of those asked for, in any order; None for all.

    Returns:
        Names in the order of `found`.

    Raises:
        FsmdeError: One is asked for that is not there.
    """
    if absent := [name for name in wanted or () if name not in found]:
        raise FsmdeError(f"the recording has no camera {absent}, only {list(found)}; choose of these")
    return tuple(name for name in found if wanted is None or name in wanted)
