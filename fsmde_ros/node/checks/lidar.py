"""Reports the status `lidar`: the running AbsRel of every camera against a lidar on the vehicle."""

from __future__ import annotations

import threading
import time
from collections import deque
from statistics import fmean, median
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from fsmde_core.evaluation.measures.metrics import DEFAULT_CAP_M, depth_metrics
from fsmde_core.lidar.projection import project
from fsmde_core.messages.point_cloud import read_xyz
from fsmde_core.messages.read import stamp_ns
from fsmde_core.rig.geometry import Matrix, invert, transform
from fsmde_core.rig.rig import Camera
from fsmde_ros.middleware import qos
from fsmde_ros.node.checks.checks import CheckedSet
from fsmde_ros.node.diagnostics import OK, WARN, status
from fsmde_ros.node.tf_mounts import TransformLookup

WINDOW = 30
"""Checks that the running mean is taken over."""
GAP_NS = 50_000_000
"""A sweep belongs to a set when it is at most half a period of a 10 Hz lidar away."""
WAIT_S = 0.5
"""How long a set waits for its sweep, which is often the later of the two to arrive."""
MIN_DEPTH_M = 0.1


class LidarCheck:
    """Compares depth at the network's size with the nearest sweep, as protocol `surrounddepth` does but for two things.

    Truth is scattered at the depth's size, and the vehicle's motion between sweep and image is not taken out.
    base_frame: the frame that the cameras' mounts are in.
    """

    name = "lidar"

    def __init__(self, node: Node, topic: str, base_frame: str) -> None:
        self._node = node
        self._base_frame = base_frame
        try:
            self._transforms: TransformLookup | None = TransformLookup(node)
        except ImportError:
            self._transforms = None
        self._arrived = threading.Condition()
        self._sweeps: deque[PointCloud2] = deque(maxlen=8)
        self._closed = False
        self._errors: dict[str, deque[float]] = {}
        self._report: tuple[float, bytes, str, dict[str, Any]] | None = None
        self._subscription = qos.subscription(node, PointCloud2, topic, self._on_sweep)
        self._topic = self._subscription.topic_name

    def update(self, sample: CheckedSet) -> None:
        centre = int(median(sample.stamps_ns.values()))
        sweep = self._sweep_at(centre)
        if sweep is None:
            text = f"no sweep on {self._topic} within {GAP_NS / 1e6:.0f} ms of the images; check its stamps"
            self._report = time.monotonic(), WARN, text, self._values("")
            return
        T_base_lidar, doubt = self._T_base_lidar(sweep.header.frame_id)
        points = transform(T_base_lidar, read_xyz(sweep))
        for camera, depth in zip(sample.cameras, sample.depth, strict=True):
            error = abs_rel(points, camera, depth)
            if error is not None:
                self._errors.setdefault(camera.name, deque(maxlen=WINDOW)).append(error)
        if not self._errors:
            level, text = WARN, "no point of a sweep has fallen into an image yet; check the lidar's frame"
        else:
            mean = fmean(fmean(errors) for errors in self._errors.values())
            level, text = (WARN if doubt else OK), f"AbsRel {mean:.3f}, mean of {len(self._errors)} cameras{doubt}"
        gap_ms = (stamp_ns(sweep.header.stamp) - centre) / 1e6
        self._report = time.monotonic(), level, text, self._values(f"{gap_ms:.1f}")

    def status(self, name: str) -> DiagnosticStatus:
        if self._report is None:
            return status(name, OK, "nothing checked yet", {"topic": self._topic})
        moment, level, text, values = self._report
        return status(name, level, text, {**values, "age_s": f"{time.monotonic() - moment:.1f}"})

    def _values(self, gap_ms: str) -> dict[str, Any]:
        values: dict[str, Any] = {"topic": self._topic, "gap_ms": gap_ms}
        for camera, errors in self._errors.items():
            values |= {f"abs_rel {camera}": f"{fmean(errors):.3f}", f"images {camera}": len(errors)}
        return values

    def close(self) -> None:
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        self._node.destroy_subscription(self._subscription)
        if self._transforms is not None:
            self._transforms.close()

    def _on_sweep(self, message: PointCloud2) -> None:
        with self._arrived:
            self._sweeps.append(message)
            self._arrived.notify_all()

    def _sweep_at(self, moment_ns: int) -> PointCloud2 | None:
        """Wait for a sweep within GAP_NS and return the nearest; None where there is none."""

        def nearest() -> PointCloud2 | None:
            found = min(self._sweeps, key=lambda sweep: abs(stamp_ns(sweep.header.stamp) - moment_ns), default=None)
            if found is None or abs(stamp_ns(found.header.stamp) - moment_ns) > GAP_NS:
                return None
            return found

        with self._arrived:
            self._arrived.wait_for(lambda: self._closed or nearest() is not None, timeout=WAIT_S)
            return nearest()

    def _T_base_lidar(self, frame: str) -> tuple[Matrix, str]:
        """Return (4, 4) and an empty string, or what is doubtful about it."""
        if frame == self._base_frame:
            return np.eye(4), ""
        if self._transforms is None:
            return np.eye(4), f"; tf2_ros is not here, so frame '{frame}' is taken as '{self._base_frame}'"
        return self._transforms.newest(self._base_frame, frame), ""


def abs_rel(points: NDArray[np.float32], camera: Camera, depth: NDArray[np.float32]) -> float | None:
    """Compute the mean of |g - d| / g over the pixels with a point, the last one of each pixel.

    Args:
        points: (N, 3) metres in the base frame.
        camera: The rectified camera.
        depth: (H, W) float32 metres beside it.

    Returns:
        The mean; None where no pixel has both a point and a depth.
    """
    seen = project(points, invert(camera.T_base_camera), camera)
    truth = np.full(depth.shape, np.nan, np.float32)
    truth[seen.row, seen.column] = seen.z
    valid = (truth > MIN_DEPTH_M) & (truth < DEFAULT_CAP_M) & np.isfinite(depth)
    if not valid.any():
        return None
    return depth_metrics(truth[valid], np.clip(depth[valid], MIN_DEPTH_M, DEFAULT_CAP_M)).abs_rel
