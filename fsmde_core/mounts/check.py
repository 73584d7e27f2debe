"""Checks the mounts over time: matches of the last few image sets give the agreement per edge and a verdict."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.overlap import overlap_differences
from fsmde_core.mounts.estimate import EDGE_MATCHES, EdgeMatches, Suspect, rank_suspects
from fsmde_core.mounts.matching import Matches, Overlap, baseline
from fsmde_core.rig.rig import Camera, Rig

WINDOW = 12
"""Checks that a verdict rests on."""
MIN_CHECKS = 8
MIN_DEGREES = 1.25
MIN_GAIN = 7.5
"""A camera with at least this rotation and gain of the fit is named; docs/calibration_check.md has measurements."""
RIVAL_GAIN = 0.85
"""A second camera with at least this fraction of the first one's gain is named too."""


@dataclass(frozen=True)
class EdgeReport:
    """Measures how well two neighbours agree.

    matches: over the checks of the window. epipolar_deg: median distance of a matched ray from its epipolar plane, NaN
    without a match. overlap: mean relative difference of the two clouds at the last check, NaN without a common point.
    """

    matches: int
    epipolar_deg: float
    overlap: float


@dataclass(frozen=True)
class MountReport:
    """Gives the verdict of `checks` checks. edges: "front/front_right" -> its agreement.

    misaligned: the camera that is not mounted as the rig says, followed by another where the two cannot be told apart;
    empty where all is well, or while that is not known.
    unjudged: cameras that share too little with their neighbours to be judged.
    """

    edges: dict[str, EdgeReport]
    checks: int
    misaligned: tuple[Suspect, ...]
    unjudged: tuple[str, ...]


class MountCheck:
    """Compares the views of a rig's neighbouring cameras over a few image sets.

    The rig gives names and ring; the current calibration comes with every update, and a change of it starts anew.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._names = rig.names
        self._cameras: dict[str, Camera] = {}
        self._overlaps: dict[tuple[str, str], Overlap] = {}
        self._checks: deque[list[EdgeMatches]] = deque(maxlen=WINDOW)
        self._suspect = ""

    def update(
        self,
        cameras: Sequence[Camera],
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        stamps_ns: Mapping[str, int],
    ) -> MountReport:
        """Check one set of images.

        Args:
            cameras: N rectified ones, those of the rig that have an image.
            rgb: (N, H, W, 3) uint8.
            depth: (N, H, W) float32 metres.
            stamps_ns: Time of each exposure, by camera name.

        Returns:
            The verdict of the checks of the window.
        """
        self._update_calibration(cameras)
        index = {camera.name: number for number, camera in enumerate(cameras)}
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in rgb]
        check = []
        for first, second in self._rig.edges:
            if first in index and second in index:
                a, b = index[first], index[second]
                matches = self._overlap(first, second).match((grey[a], grey[b]), (depth[a], depth[b]))
                if matches is not None:
                    gap_s = (stamps_ns[second] - stamps_ns[first]) / 1e9
                    check.append(EdgeMatches(self._index(first), self._index(second), gap_s, _thinned(matches)))
        self._checks.append(check)
        differences = overlap_differences(cameras, depth, self._rig.edges)
        edges = {edge: self._report(edge, values) for edge, values in differences.items()}
        return MountReport(edges, len(self._checks), *self._verdict())

    def _update_calibration(self, cameras: Sequence[Camera]) -> None:
        """Keep the current calibration; drop all matches that were made with another one."""
        for camera in cameras:
            known = self._cameras.get(camera.name)
            if known is camera:
                continue
            if known is not None and not _same(known, camera):
                self._checks.clear()
                self._suspect = ""
                self._overlaps = {edge: kept for edge, kept in self._overlaps.items() if camera.name not in edge}
            self._cameras[camera.name] = camera

    def _overlap(self, first: str, second: str) -> Overlap:
        if (first, second) not in self._overlaps:
            self._overlaps[first, second] = Overlap(self._cameras[first], self._cameras[second])
        return self._overlaps[first, second]

    def _index(self, name: str) -> int:
        return self._names.index(name)

    def _report(self, edge: str, differences: NDArray[np.float32]) -> EdgeReport:
        first, second = (self._index(name) for name in edge.split("/"))
        matches = [e.matches for check in self._checks for e in check if (e.first, e.second) == (first, second)]
        offset = baseline(*(self._cameras[self._names[index]] for index in (first, second)))
        errors = np.concatenate([np.zeros(0), *(_epipolar_deg(match, offset) for match in matches)])
        return EdgeReport(
            matches=len(errors),
            epipolar_deg=float(np.median(errors)) if len(errors) else float("nan"),
            overlap=float(differences.mean()) if len(differences) else float("nan"),
        )

    def _verdict(self) -> tuple[tuple[Suspect, ...], tuple[str, ...]]:
        """Name the cameras that are misaligned, if two checks in a row find so, and those that cannot be judged.

        While a window holds checks from before and after a mount moved, a neighbour may explain them best for a moment.
        """
        if len(self._checks) < MIN_CHECKS:
            return (), ()
        ranked = rank_suspects([self._cameras.get(camera.name, camera) for camera in self._rig.cameras], self._checks)
        judged = {suspect.camera for suspect in ranked}
        clear = [suspect for suspect in ranked if suspect.gain >= MIN_GAIN and suspect.degrees >= MIN_DEGREES]
        named = tuple(suspect for suspect in clear[:2] if suspect.gain >= RIVAL_GAIN * clear[0].gain)
        confirmed = named if named and named[0].camera == self._suspect else ()
        self._suspect = named[0].camera if named else ""
        return confirmed, tuple(name for name in self._names if name not in judged)


def _same(a: Camera, b: Camera) -> bool:
    return np.array_equal(a.K, b.K) and np.array_equal(a.T_base_camera, b.T_base_camera) and a.width == b.width


def _thinned(matches: Matches) -> Matches:
    keep = np.unique(np.linspace(0, len(matches.distance) - 1, EDGE_MATCHES).astype(int))
    return Matches(*(values[keep] for values in matches))


def _epipolar_deg(matches: Matches, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute (M,) absolute distances of the second rays from the planes of first ray and baseline, degrees."""
    normal = np.cross(offset, matches.first)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.degrees(np.abs(np.arcsin(np.clip(np.sum(normal * matches.second, axis=1), -1, 1))))
