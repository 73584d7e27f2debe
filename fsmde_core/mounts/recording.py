"""Both checks of the mounts over a recording: the overlap of neighbours at every frame, lidar where there is any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.mounts.check import MIN_CHECKS, MountCheck
from fsmde_core.mounts.lidar import LidarMisalignment, LidarMountCheck
from fsmde_core.mounts.misalignment import Misalignment
from fsmde_core.pipeline.pipeline import AnyPipeline, DepthSet
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.source import Source

EVERY = 4
"""Sweeps from one verdict of the lidar to the next."""


@dataclass(frozen=True)
class MountSummary:
    """frames, sweeps: looked at. overlap: cameras that neighbours could judge in the end. lidar: the last alignment of
    every camera that has one. turned: what each witness said last of each camera that it has named, in ring order; a
    second camera beside it where the two cannot be told apart.
    """

    frames: int
    sweeps: int
    overlap: tuple[str, ...]
    lidar: dict[str, LidarMisalignment]
    turned: tuple[tuple[Misalignment, ...], ...]


def check_recording(
    source: Source,
    pipeline: AnyPipeline[Any],
    span: tuple[int, int | None] = (0, None),
    rig: Rig | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> MountSummary:
    """Whether `source` shows its cameras where `rig`, or its own rig, has them. on_frame: called once per frame.

    Raises FsmdeError when `rig` has other cameras than the recording.
    """
    rig = rig or source.rig
    if set(rig.names) != set(source.rig.names):
        names, there = list(rig.names), list(source.rig.names)
        raise FsmdeError(f"the rig has cameras {names}, the recording has {there}; name them alike")
    both = _Both(rig)
    for frame in source.frames(*span):
        result = pipeline.run({name: image.image() for name, image in frame.images.items()}, rig)
        both.add(replace(frame, rig=rig), result)
        on_frame()
    return both.summary()


class _Both:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._by_overlap, self._by_lidar = MountCheck(rig), LidarMountCheck()
        self._frames = self._sweeps = 0
        self._judged: tuple[str, ...] = ()
        self._aligned: dict[str, LidarMisalignment] = {}
        self._turned: dict[tuple[str, str], tuple[Misalignment, ...]] = {}

    def add(self, frame: Frame, result: DepthSet) -> None:
        stamps_ns = {name: image.stamp_ns for name, image in frame.images.items()}
        report = self._by_overlap.update(result.cameras, result.rgb, result.depth, stamps_ns)
        self._frames += 1
        if report.checks >= MIN_CHECKS:
            self._judged = tuple(name for name in self._rig.names if name not in report.unseen)
        if report.turned:
            self._turned[report.turned[0].camera, report.turned[0].witness] = report.turned
        if frame.lidar is not None:
            self._by_lidar.add(frame, result.cameras, result.depth)
            self._sweeps += 1
            if self._sweeps % EVERY == 0:
                self._judge_by_lidar()

    def _judge_by_lidar(self) -> None:
        found = self._by_lidar.judge()
        self._aligned |= {one.camera: one for one in found}
        self._turned |= {(one.camera, one.witness): (one,) for one in found if one.is_turned}

    def summary(self) -> MountSummary:
        if self._sweeps % EVERY:
            self._judge_by_lidar()
        in_ring = sorted(self._turned, key=lambda key: (self._rig.names.index(key[0]), key[1]))
        turned = tuple(self._turned[key] for key in in_ring)
        return MountSummary(self._frames, self._sweeps, self._judged, self._aligned, turned)
