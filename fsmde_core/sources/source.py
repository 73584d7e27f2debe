"""Defines what every recording offers: a length, a rig, and frames in order of time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol

from fsmde_core.frames import Frame
from fsmde_core.rig.rig import Rig


class Source(Protocol):
    """Describes a recording. `rig` is the calibration of its first frame; `name` is what tables and files call it.

    `notes` are sentences on what a reader of its results should know, such as where a bag is damaged; they grow while
    frames are read.
    """

    name: str
    rig: Rig

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


class IndexedSource(ABC):
    """Provides `frames` to sources with random access, which implement `frame(index)` and `__len__`."""

    name: str
    rig: Rig
    notes: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """Read the files of the frame at `index`, 0 <= index < len(self), and of no other."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(len(self))):
            yield self.frame(index)
