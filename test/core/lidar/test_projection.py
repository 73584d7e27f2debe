"""Lidar in the images: by hand on made-up points, and what ego motion matters on nuScenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.lidar.projection import depth_map, lidar_to_camera, project
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.nuscenes import NuScenesSource

LOOKS_FORWARD = rigid(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), [0.0, 0.0, 0.0])
CAMERA = Camera("front", 8, 6, np.array([[4.0, 0, 4], [0, 4, 3], [0, 0, 1]]), LOOKS_FORWARD)

Vector = tuple[float, float, float]


def frame_of(points: list[Vector], camera_at: Vector = (0, 0, 0), lidar_at: Vector = (0, 0, 0)) -> Frame:
    """A camera that looks forward and a sweep, the vehicle being at two places of the world; `points` at lidar_at."""
    sweep = LidarSweep(0, np.array(points, np.float32).reshape(-1, 3), rigid(np.eye(3), lidar_at))
    image = CameraImage(0, pixels=np.zeros((6, 8, 3), np.uint8))
    return Frame(0, Rig((CAMERA,)), {"front": image}, {"front": rigid(np.eye(3), camera_at)}, sweep)


def test_point_lands_where_the_pinhole_says_with_its_z_not_its_range() -> None:
    depth = depth_map(frame_of([(2.0, -1.0, 0.5)]), "front")  # 2 m ahead, 1 m right, 0.5 m up
    assert depth.shape == (6, 8) and depth.dtype == np.float32
    assert depth[3 - 1, 4 + 2] == 2.0
    assert np.isfinite(depth).sum() == 1


def test_motion_between_sweep_and_exposure_is_undone() -> None:
    frame = frame_of([(3.0, 0.0, 0.0)], camera_at=(11, 0, 0), lidar_at=(10, 0, 0))
    assert depth_map(frame, "front")[3, 4] == 2.0


def test_last_point_of_the_sweep_wins_even_when_it_is_behind() -> None:
    assert depth_map(frame_of([(9.0, 0, 0), (2.0, 0, 0), (5.0, 0, 0)]), "front")[3, 4] == 5.0


def test_points_beside_and_behind_are_left_out_and_rounding_decides_at_the_border() -> None:
    inside, outside = (1.0, 4.49 / 4, 0.0), (1.0, 4.51 / 4, 0.0)  # columns -0.49 and -0.51
    behind, in_the_lens, lost = (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (np.nan, 0.0, 0.0)
    seen = project(np.array([behind, outside, in_the_lens, lost, inside]), np.linalg.inv(LOOKS_FORWARD), CAMERA)
    assert (seen.point.tolist(), seen.column.tolist(), seen.row.tolist(), seen.z.tolist()) == ([4], [0], [3], [1.0])


@given(st.integers(0, 10_000), st.floats(0.01, 300), st.sampled_from([4.0, 900.0]))
@settings(max_examples=60, deadline=None)
def test_points_found_in_the_image_are_those_of_a_plain_projection(seed: int, reach: float, focal: float) -> None:
    """Also at the lens, at the border, and for every focal length: the quick look before it leaves nothing out."""
    rng = np.random.default_rng(seed)
    camera = Camera("front", 800, 600, np.array([[focal, 0, 400], [0, focal, 300], [0, 0, 1]]), LOOKS_FORWARD)
    points = (reach * rng.normal(size=(300, 3)) ** 3).astype(np.float32)
    T = rigid(np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(size=3))
    x, y, z = camera.K @ (T[:3, :3] @ points.T.astype(float) + T[:3, 3:])
    u, v = np.rint(x / z), np.rint(y / z)
    expected = np.flatnonzero((z > 0) & (u >= 0) & (u < 800) & (v >= 0) & (v < 600))
    assert project(points, T, camera).point.tolist() == expected.tolist()


def test_asked_size_scales_the_pixels_and_keeps_the_metres() -> None:
    depth = depth_map(frame_of([(2.0, -1.0, 0.5)]), "front", width=16, height=12)
    row, column = np.argwhere(np.isfinite(depth))[0]
    assert depth.shape == (12, 16) and depth[row, column] == 2.0
    assert (row, column) == (4, 12)  # 2 * 6 + 0.5 = 12.5 and 2 * 2 + 0.5 = 4.5, both rounded to even


def test_empty_sweep_gives_an_empty_map() -> None:
    assert np.isnan(depth_map(frame_of([]), "front")).all()


def test_what_cannot_be_projected_is_said() -> None:
    frame = frame_of([(1, 0, 0)])
    with pytest.raises(FsmdeError, match="no lidar sweep"):
        depth_map(Frame(3, frame.rig, frame.images, frame.T_world_base), "front")
    with pytest.raises(FsmdeError, match="no camera 'back'"):
        depth_map(frame, "back")
    with pytest.raises(FsmdeError, match="no vehicle pose for camera 'front'"):
        depth_map(Frame(3, frame.rig, {}, {}, frame.lidar), "front")
    distorted = Camera("front", 8, 6, CAMERA.K, D=np.full(4, 0.1))
    with pytest.raises(FsmdeError, match="rectified"):
        project(np.zeros((1, 3)), np.eye(4), distorted)


@pytest.mark.data
def test_ego_motion_between_lidar_and_cameras_is_many_pixels_on_nuscenes(nuscenes_root: Path) -> None:
    """Without compensation (all poses taken at the lidar's time) near points shift by tens of pixels."""
    frame = NuScenesSource(nuscenes_root).frame(0)
    still = Frame(0, frame.rig, frame.images, dict.fromkeys(frame.images, frame.lidar.T_world_base), frame.lidar)
    shift = {}
    for camera in frame.rig.cameras:
        a, b = (project(f.lidar.points, lidar_to_camera(f, camera.name), camera) for f in (frame, still))
        _, in_a, in_b = np.intersect1d(a.point, b.point, return_indices=True)
        near = a.z[in_a] < 15
        move = np.hypot(a.column[in_a] - b.column[in_b], a.row[in_a] - b.row[in_b])
        shift[camera.name] = float(np.median(move[near]))
    moved = {n: np.linalg.norm(frame.T_world_base[n][:3, 3] - frame.lidar.T_world_base[:3, 3]) for n in shift}
    assert max(moved.values()) == pytest.approx(0.40, abs=0.01)
    assert max(moved, key=moved.__getitem__) == max(shift, key=shift.__getitem__) == "front_left"
    assert shift["front_left"] > 25 and shift["front_right"] > 15
    assert shift["back_left"] < 3  # exposed within a quarter of a millisecond of the sweep's stamp
