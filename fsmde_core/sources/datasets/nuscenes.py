"""Reads nuScenes (Motional; CC BY-NC-SA 4.0) from its JSON tables: the devkit pins an old NumPy and is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, transform
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.files import read_bytes, read_json, reading
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.source import IndexedSource

CAMERAS = ("front", "front_right", "back_right", "back", "back_left", "front_left")
CHANNELS = {**{f"CAM_{name.upper()}": name for name in CAMERAS}, "LIDAR_TOP": "lidar"}

Row = dict[str, Any]


class NuScenesSource(IndexedSource):
    """Reads keyframes, scene after scene, in order of time; only those whose six images are on disk.

    The ego frame of nuScenes is base_link as it stands: REP-103, on the road below the rear axle. Every sensor has the
    ego pose of its own time. Lidar is the LIDAR_TOP keyframe sweep, None where its file is absent. The tables are those
    of `root/version`; without `version` those of the only folder v1.0-* in `root`.
    """

    name = "nuscenes"

    def __init__(self, root: str | Path, version: str | None = None) -> None:
        self.root = Path(root)
        self._tables = self.root / (version or self._only_version())
        with reading(self._tables):
            sensors = {row["token"]: row["channel"] for row in self._table("sensor")}
            self._calibrations = {row["token"]: row for row in self._table("calibrated_sensor")}
            channels = {token: CHANNELS.get(sensors[row["sensor_token"]]) for token, row in self._calibrations.items()}
            self._keyframes = tuple(self._read_keyframes(channels))
            wanted = {row["ego_pose_token"] for keyframe in self._keyframes for row in keyframe.values()}
            self._poses = {row["token"]: _pose(row) for row in self._table("ego_pose") if row["token"] in wanted}
        if not self._keyframes:
            raise FsmdeError(f"{self._tables}: no keyframe has its six images under {self.root / 'samples'}")
        with reading(self._tables):
            self.rig = self._rig(self._keyframes[0])

    def __len__(self) -> int:
        return len(self._keyframes)

    def frame(self, index: int) -> Frame:
        keyframe = self._keyframes[index]
        with reading(self._tables):
            rows = {name: keyframe[name] for name in CAMERAS}
            images = {n: CameraImage(_stamp_ns(row), encoded=read_bytes(self._path(row))) for n, row in rows.items()}
            poses = {name: self._poses[row["ego_pose_token"]] for name, row in rows.items()}
            return Frame(index, self._rig(keyframe), images, poses, self._sweep(keyframe))

    def _only_version(self) -> str:
        versions = sorted(path.name for path in self.root.glob("v1.0-*") if path.is_dir())
        if len(versions) != 1:
            found = f"holds {versions}: give one as version" if versions else "holds no folder v1.0-* of JSON tables"
            raise FsmdeError(f"nuScenes root {self.root} {found}")
        return versions[0]

    def _table(self, name: str) -> list[Row]:
        return read_json(self._tables / f"{name}.json")

    def _path(self, row: Row) -> Path:
        return self.root / row["filename"]

    def _read_keyframes(self, channels: Mapping[str, str | None]) -> Iterator[dict[str, Row]]:
        """Yield per keyframe the sample_data rows by camera name, and "lidar" where there is one."""
        samples = {row["token"]: row for row in self._table("sample")}
        rows: dict[str, dict[str, Row]] = {token: {} for token in samples}
        for row in self._table("sample_data"):
            channel = channels[row["calibrated_sensor_token"]]
            if channel and row["is_key_frame"]:
                rows[row["sample_token"]][channel] = row
        scene_start: dict[str, int] = {}
        for sample in samples.values():
            scene, time = sample["scene_token"], sample["timestamp"]
            scene_start[scene] = min(time, scene_start.get(scene, time))
        order = {t: (scene_start[s["scene_token"]], s["scene_token"], s["timestamp"]) for t, s in samples.items()}
        for token in sorted(samples, key=order.__getitem__):
            keyframe = rows[token]
            if all(name in keyframe and self._path(keyframe[name]).is_file() for name in CAMERAS):
                yield keyframe

    def _rig(self, keyframe: Mapping[str, Row]) -> Rig:
        return Rig(tuple(self._camera(name, keyframe[name]) for name in CAMERAS))

    def _camera(self, name: str, row: Row) -> Camera:
        calibration = self._calibrations[row["calibrated_sensor_token"]]
        K, T_base_camera = np.array(calibration["camera_intrinsic"]), _pose(calibration)
        return Camera(name, row["width"], row["height"], K=K, T_base_camera=T_base_camera)

    def _sweep(self, keyframe: Mapping[str, Row]) -> LidarSweep | None:
        row = keyframe.get("lidar")
        if row is None or not self._path(row).is_file():
            return None
        with reading(self._path(row)):
            values = np.frombuffer(read_bytes(self._path(row)), dtype="<f4").reshape(-1, 5)
        T_base_lidar = _pose(self._calibrations[row["calibrated_sensor_token"]])
        points = transform(T_base_lidar, values[:, :3])
        return LidarSweep(_stamp_ns(row), points, self._poses[row["ego_pose_token"]])


def _stamp_ns(row: Row) -> int:
    return int(row["timestamp"]) * 1000  # the tables count microseconds


def _pose(row: Row) -> Matrix:
    return recorded_pose(row["rotation"], row["translation"])
