"""Provides what the readers of data sets share: counts of what is absent or broken, and another rig's calibration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.rig.rig import Rig, load_rig
from fsmde_core.sources.counts import ItemCount
from fsmde_core.sources.source import IndexedSource, Omission, choose_cameras


class DatasetSource(IndexedSource):
    """Reads frames of a data set in files, which subclasses do in `_read`; an absent or broken file costs itself.

    cameras: names of those that are read; None for all. rig: a rig file whose calibration takes the place of the
    recorded one; cameras that it lacks are not read.
    """

    def __init__(self, cameras: Sequence[str] | None, rig: str | Path | None) -> None:
        self._wanted = cameras
        self._given_rig = None if rig is None else load_rig(rig)
        self._known: list[str] = []
        self._examples: dict[tuple[str, str], str] = {}

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """Say what was known at once, then for each reason how much was left out, with one example."""
        counts: dict[str, ItemCount] = dict(self.counts)
        return self._known + [
            f"{counts[kind].left_out[reason]} of {counts[kind].read} {kind} left out: {reason}, such as {example}"
            for (kind, reason), example in self._examples.items()
        ]

    def frame(self, index: int) -> Frame:
        omitted: list[Omission] = []
        frame = self._read(index, omitted)
        self._count_once(index, frame, omitted)
        for kind, reason, example in omitted:
            self._examples.setdefault((kind, reason), example)
        return frame if self._given_rig is None else replace(frame, rig=self.rig)

    @abstractmethod
    def _read(self, index: int, omitted: list[Omission]) -> Frame:
        """Read the frame at `index` with its recorded calibration; add to `omitted` what it has to do without."""

    def _choose(self, found: Sequence[str]) -> tuple[str, ...]:
        """Choose the cameras that are wanted among those that are there; FsmdeError where none is left."""
        chosen = choose_cameras(found, self._wanted)
        if self._given_rig is None:
            return chosen
        names = self._given_rig.names
        if not set(names) & set(chosen):
            raise FsmdeError(f"the rig has cameras {list(names)}, the recording has {list(chosen)}; name them alike")
        if unread := [name for name in chosen if name not in names]:
            self._known.append(f"cameras {unread} of the recording are not in the rig file, and are not read")
        if absent := [name for name in names if name not in chosen]:
            self._known.append(f"cameras {absent} of the rig file are not read: the recording has {list(found)}")
        return tuple(name for name in chosen if name in names)

    def _rig_of(self, recorded: Rig) -> Rig:
        """Return the recorded rig, or its cameras with the calibration of the rig file."""
        if self._given_rig is None:
            return recorded
        return replace(self._given_rig, cameras=tuple(c for c in self._given_rig.cameras if c.name in recorded.names))
