"""Ground truth of every camera of the real recordings against the same chain written down plainly, point by point, from
their files: quaternion products instead of matrices, and nothing of the package's readers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.lidar.projection import depth_map, lidar_to_camera, project
from fsmde_core.sources.datasets.ddad import DdadSource
from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
STEP = 17  # of the sweep's points


class View(NamedTuple):
    """One camera at one moment. points: (N, 3) of the sweep as recorded; to_camera: moves one to the optical frame."""

    name: str
    focal: tuple[float, float]
    centre: tuple[float, float]
    size: tuple[int, int]
    points: np.ndarray
    to_camera: Callable[[Vector], Vector]


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def turn(q: Quaternion, v: Vector) -> Vector:
    w, x, y, z = q
    return product(product(q, (0.0, *v)), (w, -x, -y, -z))[1:]


def forth(row: dict, v: Vector) -> Vector:
    """From the frame of a table row to its parent."""
    x, y, z = turn(tuple(row["rotation"]), v)
    tx, ty, tz = row["translation"]
    return x + tx, y + ty, z + tz


def back(row: dict, v: Vector) -> Vector:
    w, x, y, z = row["rotation"]
    tx, ty, tz = row["translation"]
    return turn((w, -x, -y, -z), (v[0] - tx, v[1] - ty, v[2] - tz))


def nuscenes(root: Path) -> Iterator[View]:
    tables = next(path for path in root.glob("v1.0-*"))
    calibrations, poses = (
        {row["token"]: row for row in json.loads((tables / f"{name}.json").read_text())}
        for name in ("calibrated_sensor", "ego_pose")
    )
    rows = {row["filename"].split("/")[1]: row for row in json.loads((tables / "sample_data.json").read_text())}
    lidar = rows.pop("LIDAR_TOP")
    points = np.fromfile(root / lidar["filename"], dtype="<f4").reshape(-1, 5)[:, :3]
    for sensor, row in rows.items():
        mount, pose = calibrations[row["calibrated_sensor_token"]], poses[row["ego_pose_token"]]

        def to_camera(p: Vector, mount: dict = mount, pose: dict = pose) -> Vector:
            world = forth(poses[lidar["ego_pose_token"]], forth(calibrations[lidar["calibrated_sensor_token"]], p))
            return back(mount, back(pose, world))

        (fx, _, cx), (_, fy, cy), _ = mount["camera_intrinsic"]
        name = sensor.removeprefix("CAM_").lower()
        yield View(name, (fx, fy), (cx, cy), (row["width"], row["height"]), points, to_camera)


def pandaset(root: Path) -> Iterator[View]:
    number = 40
    points = np.load(root / "lidar" / f"{number:02d}.npz")["xyz_world_cm"] / 100
    for folder in sorted((root / "camera").iterdir()):
        k = json.loads((folder / "intrinsics.json").read_text())
        entry = json.loads((folder / "poses.json").read_text())[number]
        pose = {
            "rotation": [entry["heading"][key] for key in "wxyz"],
            "translation": [entry["position"][key] for key in "xyz"],
        }
        name = folder.name.removesuffix("_camera")

        def to_camera(p: Vector, pose: dict = pose) -> Vector:
            return back(pose, p)

        yield View(name, (k["fx"], k["fy"]), (k["cx"], k["cy"]), (1920, 1080), points, to_camera)


def ddad(root: Path) -> Iterator[View]:
    scene_file = next(root.glob("scene_0*/scene_*.json"))
    scene = json.loads(scene_file.read_text())
    entries = {entry["key"]: entry for entry in scene["data"]}
    sample = scene["samples"][0]
    document = json.loads((scene_file.parent / "calibration" / f"{sample['calibration_key']}.json").read_text())
    intrinsics = dict(zip(document["names"], document["intrinsics"], strict=True))
    datums = {entries[key]["id"]["name"]: entries[key]["datum"] for key in sample["datum_keys"]}
    cloud = datums.pop("LIDAR")["point_cloud"]
    points = np.load(scene_file.parent / cloud["filename"])["data"][:, :3]

    def row(entry: dict[str, Any]) -> dict[str, list[float]]:
        rotation, translation = entry["pose"]["rotation"], entry["pose"]["translation"]
        return {
            "rotation": [rotation[key] for key in ("qw", "qx", "qy", "qz")],
            "translation": [translation[key] for key in "xyz"],
        }

    for name, datum in datums.items():
        k, image = intrinsics[name], datum["image"]
        pose = row(image)

        def to_camera(p: Vector, pose: dict = pose) -> Vector:
            return back(pose, forth(row(cloud), p))

        size = (image["width"], image["height"])
        yield View(name.lower(), (k["fx"], k["fy"]), (k["cx"], k["cy"]), size, points, to_camera)


def plain(view: View) -> dict[int, tuple[int, int, float]]:
    """Row of the sweep -> column, row and z of every STEPth point that falls into the image."""
    found = {}
    for index in range(0, len(view.points), STEP):
        x, y, z = view.to_camera(tuple(float(v) for v in view.points[index]))  # type: ignore[arg-type]
        if z > 0:
            column = round(view.focal[0] * x / z + view.centre[0])
            row = round(view.focal[1] * y / z + view.centre[1])
            if 0 <= column < view.size[0] and 0 <= row < view.size[1]:
                found[index] = (column, row, z)
    return found


RECORDINGS: dict[str, tuple[Callable[[Path], IndexedSource], Callable[[Path], Iterator[View]], int]] = {
    "nuscenes": (NuScenesSource, nuscenes, 0),
    "pandaset": (PandaSetSource, pandaset, 40),
    "ddad": (DdadSource, ddad, 0),
}


@pytest.mark.data
@pytest.mark.parametrize("recording", list(RECORDINGS))
def test_truth_of_every_camera_is_that_of_a_plain_projection(recording: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(f"{recording}_root")
    open_recording, views, index = RECORDINGS[recording]
    source = open_recording(root)
    frame = source.frame(index)
    assert frame.lidar is not None
    seen_cameras = set()
    for view in views(root):
        if view.name not in source.rig.names:
            continue
        seen_cameras.add(view.name)
        expected = plain(view)
        seen = project(frame.lidar.points, lidar_to_camera(frame, view.name), frame.rig[view.name])
        got = {
            int(i): (c, r, z)
            for i, c, r, z in zip(seen.point, seen.column, seen.row, seen.z, strict=True)
            if i % STEP == 0
        }
        # float32 points: at the border and at a tie rounding may go the other way.
        common = sorted(set(got) & set(expected))
        assert len(set(got) ^ set(expected)) <= 1e-3 * len(expected) and len(common) > 100, view.name
        pixels = np.array([[got[i][:2], expected[i][:2]] for i in common])
        assert np.abs(pixels[:, 0] - pixels[:, 1]).max() <= 1, view.name
        assert np.mean(pixels[:, 0] != pixels[:, 1]) < 0.002, view.name
        assert max(abs(got[i][2] - expected[i][2]) for i in common) < 2e-3, view.name
        check_maps(frame, view.name, seen)
    assert seen_cameras == set(source.rig.names)


def check_maps(frame: Any, name: str, seen: Any) -> None:
    """The map and protocol A's truth hold the last point of every pixel, and nothing else."""
    last = {(int(r), int(c)): float(z) for _, c, r, z in zip(seen.point, seen.column, seen.row, seen.z, strict=True)}
    depth = depth_map(frame, name)
    rows, columns = np.nonzero(np.isfinite(depth))
    assert {(int(r), int(c)): float(depth[r, c]) for r, c in zip(rows, columns, strict=True)} == last
    rules = make_protocol("surrounddepth", "any")
    truth = rules.truth(frame, name).to_map()
    kept = {cell: z for cell, z in last.items() if 0.1 < z < rules.cap_m}
    rows, columns = np.nonzero(np.isfinite(truth))
    assert {(int(r), int(c)): float(truth[r, c]) for r, c in zip(rows, columns, strict=True)} == kept
