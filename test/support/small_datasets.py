"""Small recordings in the layouts of the three data sets: tiny images, a few points, one pose per frame.

The vehicle drives 1 m per frame along x of the world; all cameras sit where their names say, 1.5 m up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fsmde_core.rig.geometry import quaternion_from_rotation

DDAD = ("camera_01", "camera_06", "camera_08", "camera_09", "camera_07", "camera_05")
NUSCENES = ("front", "front_right", "back_right", "back", "back_left", "front_left")
PANDASET = ("front", "front_right", "right", "back", "left", "front_left")
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
POINTS = np.array([[4.0, 1.0, 0.5], [-3.0, 2.0, 1.0], [0.5, -6.0, 0.25]])
"""Of every sweep, in the vehicle's frame, metres."""
WIDTH, HEIGHT = 32, 20


def jpeg() -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1])


def mount(number: int) -> tuple[list[float], list[float]]:
    """Quaternion w x y z and position of the camera at this place of the ring."""
    c, s = np.cos(-number * np.pi / 3), np.sin(-number * np.pi / 3)
    yaw = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return list(quaternion_from_rotation(yaw @ OPTICAL)), [float(c), float(s), 1.5]


def write_pandaset(root: Path, frames: int = 3, cameras: Sequence[str] = PANDASET) -> Path:
    """No sweep is written; a pose of the lidar is (0, 0, 0.3) above base, its y axis ahead."""
    for name in cameras:
        wxyz, at = mount(PANDASET.index(name))
        folder = root / "camera" / f"{name}_camera"
        folder.mkdir(parents=True)
        for number in range(frames):
            (folder / f"{number:02d}.jpg").write_bytes(jpeg())
        poses = [_pandaset_pose(wxyz, [number + at[0], *at[1:]]) for number in range(frames)]
        _write(folder, poses=poses, timestamps=[0.1 * number for number in range(frames)])
        _write(folder, intrinsics={"fx": 30.0, "fy": 30.0, "cx": 16.0, "cy": 10.0})
    lidar = root / "lidar"
    lidar.mkdir()
    half = float(np.sqrt(0.5))
    poses = [_pandaset_pose([half, 0, 0, -half], [float(number), 0.0, 0.3]) for number in range(frames)]
    _write(lidar, poses=poses, timestamps=[0.1 * number + 0.01 for number in range(frames)])
    return root


def _pandaset_pose(wxyz: Sequence[float], at: Sequence[float]) -> Any:
    return {"heading": dict(zip("wxyz", wxyz, strict=True)), "position": dict(zip("xyz", at, strict=True))}


def write_nuscenes(root: Path, versions: Sequence[str] = ("v1.0-mini",), frames: int = 2) -> Path:
    channels = {
        **{f"CAM_{name.upper()}": mount(i) for i, name in enumerate(NUSCENES)},
        "LIDAR_TOP": ([1, 0, 0, 0], [0.0, 0, 2]),
    }
    tables: dict[str, list[Any]] = {
        name: [] for name in ("sensor", "calibrated_sensor", "sample", "sample_data", "ego_pose")
    }
    K = [[30.0, 0, 16], [0, 30, 10], [0, 0, 1]]
    for channel, (wxyz, at) in channels.items():
        tables["sensor"].append({"token": channel, "channel": channel})
        tables["calibrated_sensor"].append(
            {"token": channel, "sensor_token": channel, "rotation": wxyz, "translation": at, "camera_intrinsic": K}
        )
    for number in range(frames):
        stamp = 1_500_000_000_000_000 + 500_000 * number
        tables["sample"].append({"token": str(number), "scene_token": "scene", "timestamp": stamp})
        pose = {"token": str(number), "rotation": [1, 0, 0, 0], "translation": [float(number), 0.0, 0.0]}
        tables["ego_pose"].append(pose)
        for channel in channels:
            file = root / "samples" / channel / (f"{number}.bin" if channel == "LIDAR_TOP" else f"{number}.jpg")
            file.parent.mkdir(parents=True, exist_ok=True)
            points = np.concatenate([POINTS - [0, 0, 2], np.zeros((len(POINTS), 2))], axis=1)
            file.write_bytes(points.astype("<f4").tobytes() if channel == "LIDAR_TOP" else jpeg())
            row = {"token": f"{number}{channel}", "sample_token": str(number), "calibrated_sensor_token": channel}
            row |= {"ego_pose_token": str(number), "timestamp": stamp, "is_key_frame": True}
            tables["sample_data"].append(
                row | {"width": WIDTH, "height": HEIGHT, "filename": str(file.relative_to(root))}
            )
    for version in versions:
        (root / version).mkdir()
        _write(root / version, **tables)
    return root


def write_ddad(root: Path, frames: int = 2, cameras: Sequence[str] = DDAD) -> Path:
    """One scene per split 0 and 1; sweeps hold POINTS in the vehicle's frame."""
    for split in (0, 1):
        scene = root / f"scene_{split}"
        (scene / "calibration").mkdir(parents=True)
        mounts = {name.upper(): mount(i) for i, name in enumerate(DDAD)} | {"LIDAR": ([1, 0, 0, 0], [0.0, 0.0, 0.0])}
        k = {"fx": 30.0, "fy": 30.0, "cx": 16.0, "cy": 10.0, "skew": 0.0}
        extrinsics = [_ddad_pose(*pose) for pose in mounts.values()]
        _write(scene / "calibration", key={"names": list(mounts), "intrinsics": [k] * 7, "extrinsics": extrinsics})
        data, samples = [], []
        for number in range(frames):
            for name, (wxyz, at) in mounts.items():
                kind = "point_cloud" if name == "LIDAR" else "image"
                file = scene / kind / name / (f"{number}.npz" if name == "LIDAR" else f"{number}.jpg")
                file.parent.mkdir(parents=True, exist_ok=True)
                if name == "LIDAR":
                    np.savez(file, data=np.concatenate([POINTS, np.zeros((len(POINTS), 1))], axis=1))
                elif name.lower() in cameras:
                    file.write_bytes(jpeg())
                content = {
                    "filename": str(file.relative_to(scene)),
                    "pose": _ddad_pose(wxyz, [number + at[0], *at[1:]]),
                }
                content |= {} if name == "LIDAR" else {"width": WIDTH, "height": HEIGHT}
                stamp = f"2019-05-0{split + 1}T10:00:0{number}.000000Z"
                data.append(
                    {"key": f"{number}{name}", "id": {"name": name, "timestamp": stamp}, "datum": {kind: content}}
                )
            samples.append({"calibration_key": "key", "datum_keys": [f"{number}{name}" for name in mounts]})
        _write(scene, scene={"data": data, "samples": samples})
    splits = {str(split): {"filenames": [f"scene_{split}/scene.json"]} for split in (0, 1)}
    _write(root, dataset={"scene_splits": splits})
    return root


def _ddad_pose(wxyz: Sequence[float], at: Sequence[float]) -> Any:
    rotation = dict(zip(("qw", "qx", "qy", "qz"), wxyz, strict=True))
    return {"rotation": rotation, "translation": dict(zip("xyz", at, strict=True))}


def _write(folder: Path, **documents: Any) -> None:
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
