"""The check of the mounts over time: matches of the last moments in, agreement per edge and a verdict out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.overlap import overlap_differences
from fsmde_core.mounts.estimate import EDGE_MATCHES, EdgeMatches, Suspect, suspects
from fsmde_core.mounts.matching import Matches, Overlap, baseline
from fsmde_core.rig.rig import Camera, Rig

WINDOW = 12
"""Checks that a verdict rests on."""
MIN_CHECKS = 8
MIN_DEGREES = 1.25
MIN_GAIN = 7.5
"""From this rotation and this gain of the fit on a camera is named; see docs/calibration_check.md for what is met."""
RIVAL = 0.85
"""A second camera that explains this share of the gain is named too."""


@dataclass(frozen=True)
class EdgeReport:
    """Agreement of two neighbours. matches: over the checks of the window. epipolar_deg: median distance of a matched
    ray from its epipolar plane, NaN without a match. overlap: mean relative difference of the two clouds at the last
    check, NaN without a common point.
    """

    matches: int
    epipolar_deg: float
    overlap: float


@dataclass(frozen=True)
class MountReport:
    """edges: "front/front_right" to its agreement. checks: how many the verdict rests on.

    turned: the camera that is not mounted as the rig says, followed by another where the two cannot be told apart;
    empty where all is well, or while it cannot be said.
    unseen: cameras that share too little with their neighbours to be judged.
    """

    edges: dict[str, EdgeReport]
    checks: int
    turned: tuple[Suspect, ...]
    unseen: tuple[str, ...]


class MountCheck:
    """Compares the views of a rig's neighbouring cameras, a few moments together.

    rig: names and ring; the calibration in force comes with every update, and a change of it starts the check anew.
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
        """Look at one set of images.

        cameras: N rectified ones, those of the rig that have an image. rgb: (N, H, W, 3) uint8, depth: (N, H, W)
        float32 metres beside them. stamps_ns: of each exposure, by name.
        """
        self._take(cameras)
        index = {camera.name: number for number, camera in enumerate(cameras)}
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in rgb]
        check = []
        for first, second in self._rig.edges:
            if first in index and second in index:
                a, b = index[first], index[second]
                matches = self._overlap(first, second).match(grey[a], grey[b], depth[a])
                if matches is not None:
                    gap_s = (stamps_ns[second] - stamps_ns[first]) / 1e9
                    check.append(EdgeMatches(self._place(first), self._place(second), gap_s, _thinned(matches)))
        self._checks.append(check)
        differences = overlap_differences(cameras, depth, self._rig.edges)
        edges = {edge: self._report(edge, values) for edge, values in differences.items()}
        return MountReport(edges, len(self._checks), *self._verdict())

    def _take(self, cameras: Sequence[Camera]) -> None:
        """Take the calibration in force; all that was seen with another one is let go."""
        for camera in cameras:
            known = self._cameras.get(camera.name)
            if known is camera:
                continue
            if known is not None and not _same(known, camera):
                self._checks.clear()
                self._suspect = ""
                self._overlaps = {edge: seen for edge, seen in self._overlaps.items() if camera.name not in edge}
            self._cameras[camera.name] = camera

    def _overlap(self, first: str, second: str) -> Overlap:
        if (first, second) not in self._overlaps:
            self._overlaps[first, second] = Overlap(self._cameras[first], self._cameras[second])
        return self._overlaps[first, second]

    def _place(self, name: str) -> int:
        return self._names.index(name)

    def _report(self, edge: str, differences: NDArray[np.float32]) -> EdgeReport:
        first, second = (self._place(name) for name in edge.split("/"))
        matches = [e.matches for check in self._checks for e in check if (e.first, e.second) == (first, second)]
        apart = baseline(*(self._cameras[self._names[place]] for place in (first, second)))
        errors = np.concatenate([np.zeros(0), *(_epipolar_deg(match, apart) for match in matches)])
        return EdgeReport(
            matches=len(errors),
            epipolar_deg=float(np.median(errors)) if len(errors) else float("nan"),
            overlap=float(differences.mean()) if len(differences) else float("nan"),
        )

    def _verdict(self) -> tuple[tuple[Suspect, ...], tuple[str, ...]]:
        """Who is turned, found so twice in a row, and who cannot be judged.

        While a window holds rounds from before and after a knock, a neighbour may explain them best for a moment.
        """
        if len(self._checks) < MIN_CHECKS:
            return (), ()
        ranked = suspects([self._cameras.get(camera.name, camera) for camera in self._rig.cameras], self._checks)
        judged = {turned.camera for turned in ranked}
        guilty = [turned for turned in ranked if turned.gain >= MIN_GAIN and turned.degrees >= MIN_DEGREES]
        named = tuple(turned for turned in guilty[:2] if turned.gain >= RIVAL * guilty[0].gain)
        confirmed = named if named and named[0].camera == self._suspect else ()
        self._suspect = named[0].camera if named else ""
        return confirmed, tuple(name for name in self._names if name not in judged)


def _same(a: Camera, b: Camera) -> bool:
    return np.array_equal(a.K, b.K) and np.array_equal(a.T_base_camera, b.T_base_camera) and a.width == b.width


def _thinned(matches: Matches) -> Matches:
    """No more than an edge counts for."""
    keep = np.unique(np.linspace(0, len(matches.distance) - 1, EDGE_MATCHES).astype(int))
    return Matches(*(values[keep] for values in matches))


def _epipolar_deg(matches: Matches, apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) absolute distances of the second rays from the planes of the first rays and the baseline, degrees."""
    normal = np.cross(apart, matches.first)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.degrees(np.abs(np.arcsin(np.clip(np.sum(normal * matches.second, axis=1), -1, 1))))
