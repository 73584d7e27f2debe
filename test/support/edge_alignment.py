"""A number that is high where projected lidar fits its image: image gradients under the points at the rim of objects.

Points in front of something farther, left or right of them, mark outlines (the depth edges of Levinson and Thrun,
"Automatic Online Calibration of Cameras and Lasers", RSS 2013). Where the calibration is right they lie on vertical
image edges; turned by a degree or two they lie anywhere, and the number falls to what any pixel gives: zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import lidar_to_camera, project
from fsmde_core.rig.geometry import Matrix, rigid
from fsmde_core.rig.rig import Camera

WIDTH = 800  # pixels the comparison is made at
BEAMS = 32  # of the nuScenes lidar, whose files hold one firing of all beams after another


def view(frame: Frame, name: str) -> Camera:
    camera = frame.rig[name]
    return camera.rectified(WIDTH, round(camera.height * WIDTH / camera.width))


def edge_strength(frame: Frame, name: str) -> NDArray[np.float32]:
    """(H, W) vertical edges in standard deviations, zero on average over any neighbourhood of 20 pixels."""
    camera = view(frame, name)
    small = cv2.resize(frame.images[name].rgb(), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    gray = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    strength = cv2.GaussianBlur(np.log1p(np.abs(cv2.Sobel(gray, cv2.CV_32F, 1, 0))), (0, 0), 3)
    strength -= cv2.GaussianBlur(strength, (0, 0), 20)
    return strength / strength.std()


def rim_by_beam(frame: Frame, _: str) -> NDArray[np.int64]:
    """Indices of points a metre nearer than a neighbour of their own beam; for nuScenes, whose files keep the order."""
    assert frame.lidar is not None
    distance = np.linalg.norm(frame.lidar.points, axis=1).reshape(-1, BEAMS)
    beyond = np.maximum(np.roll(distance, 1, axis=0), np.roll(distance, -1, axis=0))
    return np.flatnonzero((beyond - distance > 1) & (distance > 2.5) & (beyond < 100))


def rim_by_window(frame: Frame, name: str) -> NDArray[np.int64]:
    """Indices of points, nearest of those within 4 pixels left and right, with one 15 % farther among them."""
    assert frame.lidar is not None
    camera = view(frame, name)
    seen = project(frame.lidar.points, lidar_to_camera(frame, name), camera)
    window = np.ones((3, 9), np.uint8)
    pixel = (seen.row, seen.column)
    far = np.zeros((camera.height, camera.width), np.float32)
    near = np.full_like(far, 1e4)
    np.maximum.at(far, pixel, seen.z)
    np.minimum.at(near, pixel, seen.z)
    rim = (cv2.dilate(far, window)[pixel] > 1.15 * seen.z) & (cv2.erode(near, window)[pixel] > seen.z / 1.1)
    return seen.point[rim]


def turned(degrees: float) -> Matrix:
    """(4, 4) rotation of a camera about its vertical axis."""
    return rigid(cv2.Rodrigues(np.radians(degrees) * np.array([0.0, 1.0, 0.0]))[0], [0.0, 0.0, 0.0])


def alignment(frame: Frame, name: str, rim: NDArray[np.int64], yaws_degrees: Sequence[float]) -> NDArray[np.float64]:
    """Mean edge strength under the rim's points with the camera turned by each of the angles."""
    assert frame.lidar is not None
    camera, strength = view(frame, name), edge_strength(frame, name)
    scores = []
    for yaw in yaws_degrees:
        seen = project(frame.lidar.points[rim], turned(yaw) @ lidar_to_camera(frame, name), camera)
        scores.append(float(np.mean(strength[seen.row, seen.column])))
    return np.array(scores)
