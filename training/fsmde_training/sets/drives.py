"""Decides which frames of a recording train and which validate: holds out whole drives, keeps whole rings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame

GAP_NS = 30_000_000_000
"""A drive ends where stamps jump by more, or back. Scenes of nuScenes last 20 s: none is cut in two. Our choice."""


def number_drives(frames: Iterable[Frame]) -> Iterator[tuple[int, Frame]]:
    """Yield the frames in order, each with the number of its drive, from 0."""
    number, before = 0, None
    for frame in frames:
        if before is not None and not 0 <= frame.stamp_ns - before <= GAP_NS:
            number += 1
        before = frame.stamp_ns
        yield number, frame


class SplitPart(NamedTuple):
    """Describes the drives that validate (held_out), or all others; `share` of the drives, 0 to 1, is held out."""

    share: float
    held_out: bool

    def includes(self, drive: int) -> bool:
        """Tell whether drive number `drive` is of this part. Of the first n drives floor(n * share) are held out."""
        return (math.floor((drive + 1) * self.share) > math.floor(drive * self.share)) == self.held_out

    def select(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames of this part. Raises FsmdeError at the end when there were none."""
        found, drive = False, -1
        for drive, frame in number_drives(frames):
            if self.includes(drive):
                found = True
                yield frame
        if not found:
            purpose = "validation" if self.held_out else "training"
            raise FsmdeError(
                f"of {drive + 1} drives none is left for {purpose} when a share of {self.share} validates; "
                "give another share, more frames or a recording of its own"
            )


ALL_TRAINING = SplitPart(0.0, False)
ALL_VALIDATION = SplitPart(1.0, True)


@dataclass
class WholeRings:
    """Yields the frames that have an image of every camera of their rig; counts the others in `left_out`."""

    frames: Iterable[Frame]
    left_out: int = 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames:
            if all(name in frame.images for name in frame.rig.names):
                yield frame
            else:
                self.left_out += 1
