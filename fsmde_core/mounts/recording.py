"""Runs both checks of the mounts over a recording: overlap of neighbours at every frame, lidar where there is any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.mounts.check import MIN_CHECKS, MountCheck, MountReport
from fsmde_core.mounts.estimate import MIN_MATCHES
from fsmde_core.mounts.lidar import MAX_ERROR, MIN_SWEEPS, LidarMisalignment, LidarMountCheck
from fsmde_core.mounts.misalignment import Misalignment
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_core.rig.rig import Rig
from fsmde_core.sources.source import Source

EVERY = 4
"""Sweeps from one verdict of the lidar to the next."""


@dataclass(frozen=True)
class MountSummary:
    """Holds the result for a recording of which `frames` frames and `sweeps` sweeps were checked.

    overlap: cameras that neighbours could judge in the end. lidar: the last alignment of every camera that has one.
    unjudged: why neither check could judge a camera, by its name, in ring order.
    misaligned: the last finding of each check on each camera that it has named, in ring order; with a second camera
    where the two cannot be told apart.
    """

    frames: int
    sweeps: int
    overlap: tuple[str, ...]
    lidar: dict[str, LidarMisalignment]
    unjudged: dict[str, str]
    misaligned: tuple[tuple[Misalignment, ...], ...]

    def document(self) -> dict[str, Any]:
        """Return the result for a JSON document."""
        named = {one.camera for finding in self.misaligned for one in finding}
        cameras = (*self.overlap, *self.lidar, *self.unjudged, *named)
        return {
            "frames": self.frames,
            "sweeps": self.sweeps,
            "cameras": {name: self._camera(name) for name in dict.fromkeys(cameras)},
            "misaligned": [[{"evidence": one.evidence, **asdict(one)} for one in found] for found in self.misaligned],
        }

    def _camera(self, name: str) -> dict[str, Any]:
        found = self.lidar.get(name)
        lidar = found and {"degrees": found.degrees, "error": found.error, "is_trusted": found.is_trusted}
        return {"overlap": name in self.overlap, "lidar": lidar, "unjudged": self.unjudged.get(name)}


def check_recording(
    source: Source,
    pipeline: DepthPipeline[Any],
    span: tuple[int, int | None] = (0, None),
    rig: Rig | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> MountSummary:
    """Check whether a recording shows its cameras where a rig has them.

    Args:
        source: The recording.
        pipeline: Predicts depth.
        span: First frame, and the one after the last.
        rig: The rig to check; None for the recording's own.
        on_frame: Is called once per frame.

    Returns:
        The result of both checks; FsmdeError where the rig has other cameras than the recording.
    """
    rig = rig or source.rig
    if set(rig.names) != set(source.rig.names):
        names, recorded = list(rig.names), list(source.rig.names)
        raise FsmdeError(f"the rig has cameras {names}, the recording has {recorded}; name them alike")
    by_overlap, by_lidar = MountCheck(rig), LidarMountCheck()
    frames = sweeps = 0
    judged: tuple[str, ...] = ()
    report: MountReport | None = None
    aligned: dict[str, LidarMisalignment] = {}
    misaligned: dict[tuple[str, str], tuple[Misalignment, ...]] = {}

    def judge_by_lidar() -> None:
        for found in by_lidar.judge():
            aligned[found.camera] = found
            if found.is_misaligned:
                misaligned[found.camera, found.evidence] = (found,)

    for frame in source.frames(*span):
        frames += 1
        result = pipeline.run({name: image.image() for name, image in frame.images.items()}, rig)
        stamps_ns = {name: image.stamp_ns for name, image in frame.images.items()}
        report = by_overlap.update(result.cameras, result.rgb, result.depth, stamps_ns)
        if report.checks >= MIN_CHECKS:
            judged = tuple(name for name in rig.names if name not in report.unjudged)
        if report.misaligned:
            misaligned[report.misaligned[0].camera, report.misaligned[0].evidence] = report.misaligned
        if frame.lidar is not None:
            sweeps += 1
            by_lidar.add(replace(frame, rig=rig), result.cameras, result.depth)
            if sweeps % EVERY == 0:
                judge_by_lidar()
        on_frame()
    if sweeps % EVERY:
        judge_by_lidar()
    in_ring = sorted(misaligned, key=lambda key: (rig.names.index(key[0]), key[1]))
    named = {one.camera for finding in misaligned.values() for one in finding}
    trusted = {name for name, found in aligned.items() if found.is_trusted}
    unjudged = {
        name: f"{_why_not_by_overlap(name, report)}; {_why_not_by_lidar(aligned.get(name), sweeps)}"
        for name in rig.names
        if name not in (*judged, *trusted, *named)
    }
    return MountSummary(frames, sweeps, judged, aligned, unjudged, tuple(misaligned[key] for key in in_ring))


def _why_not_by_overlap(name: str, report: MountReport | None) -> str:
    if report is None or report.checks < MIN_CHECKS:
        return (
            f"{MIN_CHECKS} frames are needed to compare neighbours, {0 if report is None else report.checks} were read"
        )
    matches = sum(edge.matches for pair, edge in report.edges.items() if name in pair.split("/"))
    return f"its neighbours share {matches / report.checks:.1f} points per frame with it, {MIN_MATCHES} are needed"


def _why_not_by_lidar(found: LidarMisalignment | None, sweeps: int) -> str:
    if sweeps < MIN_SWEEPS:
        return f"{MIN_SWEEPS} sweeps are needed, {sweeps} were read"
    if found is None:
        return "the lidar has too few points in its view"
    return (
        f"however it is turned, depth differs by {found.error:.1%} from the lidar, {MAX_ERROR:.0%} are allowed: "
        "the model does not know such images, or the camera is turned by more than the check can find"
    )
