"""The three real data sets: what their sources yield, and that lidar and images fit together."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import depth_map
from fsmde_core.rig.geometry import invert, transform
from fsmde_core.rig.rig import ring_order
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource
from support.edge_alignment import alignment, rim_by_beam, rim_by_window
from support.real_sources import KINDS, lidar_frames, real_source

pytestmark = pytest.mark.data

RINGS = {
    "nuscenes": ("front", "front_right", "back_right", "back", "back_left", "front_left"),
    "pandaset": ("front", "front_right", "right", "back", "left", "front_left"),
    "ddad": ("camera_01", "camera_06", "camera_08", "camera_09", "camera_07", "camera_05"),
}
ROAD = {"nuscenes": 0.0, "pandaset": 0.0, "ddad": 0.09}  # height of the road in base_link, metres


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest) -> IndexedSource:
    return real_source(request.param, request)


def test_ring_is_the_one_agreed_and_turns_clockwise_all_the_way(source: IndexedSource) -> None:
    assert source.rig.names == RINGS[source.name]
    assert tuple(camera.name for camera in ring_order(source.rig.cameras)) == source.rig.names
    turns = [np.degrees(source.rig[a].yaw - source.rig[b].yaw) % 360 for a, b in source.rig.edges]
    assert all(15 < turn < 100 for turn in turns)
    assert sum(turns) == pytest.approx(360)


def test_frames_hold_recorded_bytes_that_decode_to_the_calibrated_size(source: IndexedSource) -> None:
    frame = source.frame(0)
    assert set(frame.images) == set(frame.T_world_base) == set(frame.rig.names)
    for camera in frame.rig.cameras:
        image = frame.images[camera.name]
        assert image.pixels is None and image.encoded is not None and image.encoded[:2] == b"\xff\xd8"
        assert image.rgb().shape == (camera.height, camera.width, 3)
        assert 1.4e9 < image.stamp_ns / 1e9 < 2**31  # after 2014, and what ROS time can hold


def test_frames_are_in_order_of_time_with_cameras_and_sweep_within_a_tenth_of_a_second(source: IndexedSource) -> None:
    frames = list(source.frames(0, 20))
    assert [frame.index for frame in frames] == list(range(min(20, len(source))))
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(frames))
    for frame in frames:
        stamps = [image.stamp_ns for image in frame.images.values()]
        stamps += [frame.lidar.stamp_ns] if frame.lidar else []
        assert max(stamps) - min(stamps) < 0.11e9


def road_height(points: np.ndarray) -> float:
    """Most frequent height of points in the lane, 3 to 10 m before and behind the vehicle (bins of 5 cm, smoothed)."""
    ahead = np.abs(points[:, 0])
    lane = points[(ahead > 3) & (ahead < 10) & (np.abs(points[:, 1]) < 3)]
    counts, edges = np.histogram(lane[:, 2], np.arange(-0.6, 0.4, 0.05))
    return float(edges[np.convolve(counts, [1, 1, 1], "same").argmax()] + 0.025)


def test_base_stands_on_the_road(source: IndexedSource) -> None:
    heights = [road_height(frame.lidar.points) for frame in lidar_frames(source, 5) if frame.lidar]
    assert np.median(heights) == pytest.approx(ROAD[source.name], abs=0.06)
    assert all(1.4 < camera.T_base_camera[2, 3] < 2.2 for camera in source.rig.cameras)


def test_depth_of_the_road_is_that_of_the_plane_seen_through_the_calibration(source: IndexedSource) -> None:
    """Lower third of the front and back images, which show little but road: lidar z against the plane's z."""
    names = source.rig.names
    for name in (names[0], names[3]):
        ratios = []
        for frame in lidar_frames(source, 5):
            camera, depth = frame.rig[name], depth_map(frame, name)
            row, column = np.nonzero(np.isfinite(depth))
            low = row > camera.height * 2 // 3
            row, column = row[low], column[low]
            ray = np.stack([(column - camera.K[0, 2]) / camera.K[0, 0], (row - camera.K[1, 2]) / camera.K[1, 1]])
            fall = camera.T_base_camera[2, :2] @ ray + camera.T_base_camera[2, 2]  # metres of height per metre of z
            plane = (ROAD[source.name] - camera.T_base_camera[2, 3]) / fall
            ratios.append(depth[row, column] / plane)
        assert np.median(np.concatenate(ratios)) == pytest.approx(1, abs=0.04), name


YAWS = (-2, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 1.5, 2)


def test_outlines_of_lidar_lie_on_image_edges_and_a_degree_of_yaw_loses_them(source: IndexedSource) -> None:
    rim = rim_by_beam if source.name == "nuscenes" else rim_by_window
    frames = lidar_frames(source, 3)
    curves = {n: np.mean([alignment(f, n, rim(f, n), YAWS) for f in frames], axis=0) for n in source.rig.names}
    assert all(abs(YAWS[int(curve.argmax())]) <= 0.5 for curve in curves.values()), curves
    score = dict(zip(YAWS, np.mean(list(curves.values()), axis=0), strict=True))
    assert score[0] > 0.35
    assert all(score[0] > 1.6 * score[yaw] for yaw in (-1, 1)), score
    assert all(score[0] > 2.5 * score[yaw] for yaw in (-2, 2)), score


def test_nuscenes_outlines_fit_only_with_ego_motion_undone(nuscenes_root: Path) -> None:
    frame = NuScenesSource(nuscenes_root).frame(0)
    assert frame.lidar is not None
    still = Frame(0, frame.rig, frame.images, dict.fromkeys(frame.images, frame.lidar.T_world_base), frame.lidar)
    moved = ("front", "front_right", "back_right", "front_left")  # the other two expose close to the sweep's stamp
    with_motion, without = (
        np.mean([alignment(f, name, rim_by_beam(f, name), [0]) for name in moved]) for f in (frame, still)
    )
    assert with_motion > without + 0.2


def test_pandaset_mounts_are_rigid_over_the_sequence_and_recorded_poses_come_back(pandaset_root: Path) -> None:
    source = PandaSetSource(pandaset_root)
    frame = source.frame(len(source) - 1)
    for camera in source.rig.cameras:
        offsets = invert(camera.T_base_camera) @ source.mount_poses(camera.name)
        shift = np.linalg.norm(offsets[:, :3, 3], axis=1)
        turn = np.degrees(np.arccos(np.clip((np.trace(offsets[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1)))
        assert shift.max() < 0.02 and np.sqrt(np.mean(shift**2)) < 0.007, camera.name
        assert turn.max() < 0.15, camera.name
        folder = pandaset_root / "camera" / f"{camera.name}_camera"
        recorded = json.loads((folder / "poses.json").read_text())[source.numbers[-1]]
        T_world_camera = frame.T_world_base[camera.name] @ camera.T_base_camera
        np.testing.assert_allclose(T_world_camera[:3, 3], [recorded["position"][k] for k in "xyz"], atol=1e-9)
        assert abs(source.rig[camera.name].T_base_camera[1, 3]) < 0.7


def test_pandaset_vehicle_drives_forward_and_its_sweep_ends_at_its_stamp(pandaset_root: Path) -> None:
    source = PandaSetSource(pandaset_root)
    if len(source) > 1:
        first, last = source.frame(0), source.frame(len(source) - 1)
        x, y, z = (invert(first.T_world_base["front"]) @ last.T_world_base["front"])[:3, 3]
        assert x > 5 * abs(y) and x > 5 * abs(z)
    frame = lidar_frames(source, 1)[0]
    assert frame.lidar is not None
    with np.load(pandaset_root / "lidar" / f"{source.numbers[frame.index]:02d}.npz") as arrays:
        since = arrays["t"] - frame.lidar.stamp_ns / 1e9
        world = arrays["xyz_world_cm"] / 100
    assert -0.11 < since.min() < -0.09 and -0.01 < since.max() < 0.01
    np.testing.assert_allclose(transform(frame.lidar.T_world_base, frame.lidar.points), world, atol=1e-4)


def test_pandaset_serves_whatever_frames_there_are(pandaset_root: Path, tmp_path: Path) -> None:
    number = PandaSetSource(pandaset_root).numbers[0]
    for folder in [*(pandaset_root / "camera").iterdir(), pandaset_root / "lidar"]:
        target = tmp_path / folder.relative_to(pandaset_root)
        target.mkdir(parents=True)
        for path in [*folder.glob("*.json"), *folder.glob(f"{number:02d}.jpg")]:
            shutil.copy(path, target)
    (tmp_path / "camera" / "left_camera" / "99.jpg").touch()
    source = PandaSetSource(tmp_path)
    assert source.numbers == (number,) and source.frame(0).lidar is None
    (tmp_path / "lidar" / f"{number:02d}.npz").write_bytes(b"PK\x03\x04 cut short")
    source = PandaSetSource(tmp_path)
    assert source.frame(0).lidar is None
    assert f"{number:02d}.npz is not laid out as expected (BadZipFile" in source.notes[-1]
    intrinsics = tmp_path / "camera" / "back_camera" / "intrinsics.json"
    intrinsics.write_text("{")
    with pytest.raises(FsmdeError, match=r"intrinsics.json is not JSON"):
        PandaSetSource(tmp_path)
    intrinsics.unlink()
    with pytest.raises(FsmdeError, match=r"intrinsics.json cannot be read: No such file"):
        PandaSetSource(tmp_path)


def test_ddad_runs_at_ten_hertz_and_poses_are_the_recorded_ones(ddad_root: Path) -> None:
    source = DdadSource(ddad_root)
    scene = json.loads(next(ddad_root.glob("*/scene_*.json")).read_text())
    recorded = {entry["id"]["name"].lower(): entry for entry in scene["data"][:7]}
    frame = source.frame(0)
    for camera in frame.rig.cameras:
        position = recorded[camera.name]["datum"]["image"]["pose"]["translation"]
        T_world_camera = frame.T_world_base[camera.name] @ camera.T_base_camera
        np.testing.assert_allclose(T_world_camera[:3, 3], [position[k] for k in "xyz"], atol=1e-9)
    stamps = [f.images["camera_01"].stamp_ns for f in source.frames()]
    np.testing.assert_allclose(np.diff(stamps), 1e8, rtol=1e-3)
    assert len(DdadSource(ddad_root, split="0")) == len(source)
    with pytest.raises(FsmdeError, match="no split '7'"):
        DdadSource(ddad_root, split="7")


def test_nuscenes_tells_which_file_or_version_is_missing(nuscenes_root: Path, tmp_path: Path) -> None:
    shutil.copytree(nuscenes_root, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    version = next(tmp_path.glob("v1.0-*"))
    next((tmp_path / "samples" / "LIDAR_TOP").iterdir()).unlink()
    assert NuScenesSource(tmp_path).frame(0).lidar is None
    shutil.copytree(version, tmp_path / "v1.0-trainval")
    with pytest.raises(FsmdeError, match="choose one with --data-version"):
        NuScenesSource(tmp_path)
    assert len(NuScenesSource(tmp_path, version=version.name)) == 1
    (version / "sample.json").write_text('[{"token": "a"}]')
    with pytest.raises(FsmdeError, match=r"not laid out as expected \(KeyError"):
        NuScenesSource(tmp_path, version=version.name)
    (version / "sample.json").unlink()
    with pytest.raises(FsmdeError, match=r"sample.json cannot be read"):
        NuScenesSource(tmp_path, version=version.name)
    next((tmp_path / "samples" / "CAM_BACK").iterdir()).unlink()
    assert NuScenesSource(tmp_path, version="v1.0-trainval").rig.names == tuple(
        name for name in RINGS["nuscenes"] if name != "back"
    )
    for image in (tmp_path / "samples").glob("CAM_*/*.jpg"):
        image.unlink()
    with pytest.raises(FsmdeError, match="no keyframe has an image"):
        NuScenesSource(tmp_path, version="v1.0-trainval")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_no_such_data_set_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=str(tmp_path)):
        KINDS[kind](tmp_path)
