"""Reads nuScenes (Motional; CC BY-NC-SA 4.0) from its JSON tables: the devkit pins an old NumPy and is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, transform
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.dataset import DatasetSource
from fsmde_core.sources.datasets.files import (
    AbsentFileError,
    finite_points,
    read_bytes,
    read_image,
    read_json,
    read_sweep,
    reading,
)
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.source import Omission

CAMERAS = ("front", "front_right", "back_right", "back", "back_left", "front_left")
CHANNELS = {**{f"CAM_{name.upper()}": name for name in CAMERAS}, "LIDAR_TOP": "lidar"}

Row = dict[str, Any]


class NuScenesSource(DatasetSource):
    """Reads keyframes, scene after scene, in order of time; those with an image on disk.

    The ego frame of nuScenes is base_link as it stands: REP-103, on the road below the rear axle. Every sensor has the
    ego pose of its own time. Lidar is the LIDAR_TOP keyframe sweep. The tables are those of `root/version`; without
    `version` those of the only folder v1.0-* in `root`, or of `root` itself where that is such a folder.
    cameras, rig: as in `DatasetSource`.
    """

    name = "nuscenes"

    def __init__(
        self,
        root: str | Path,
        version: str | None = None,
        cameras: Sequence[str] | None = None,
        rig: str | Path | None = None,
    ) -> None:
        super().__init__(cameras, rig)
        self._tables = _find_tables(Path(root), version)
        self.root = self._tables.parent
        with reading(self._tables):
            sensors = {row["token"]: row["channel"] for row in self._table("sensor")}
            self._calibrations = {row["token"]: row for row in self._table("calibrated_sensor")}
            channels = {token: CHANNELS.get(sensors[row["sensor_token"]]) for token, row in self._calibrations.items()}
            self._keyframes = tuple(self._read_keyframes(channels))
            wanted = {row["ego_pose_token"] for keyframe in self._keyframes for row in keyframe.values()}
            self._poses = {row["token"]: _pose(row) for row in self._table("ego_pose") if row["token"] in wanted}
        if not self._keyframes:
            raise FsmdeError(f"{self._tables}: no keyframe has an image under {self.root / 'samples'}")
        with reading(self._tables):
            first = {name: row for keyframe in reversed(self._keyframes) for name, row in keyframe.items()}
            there = [n for n in CAMERAS if any(n in k and self._path(k[n]).is_file() for k in self._keyframes)]
            self._recorded = Rig(tuple(self._camera(name, first[name]) for name in self._choose(there)))
        self.rig = self._rig_of(self._recorded)

    def __len__(self) -> int:
        return len(self._keyframes)

    def _read(self, index: int, omitted: list[Omission]) -> Frame:
        keyframe = self._keyframes[index]
        images, poses = {}, {}
        with reading(self._tables):
            for name in self._recorded.names:
                row = keyframe.get(name)
                if row is not None and (encoded := read_image(self._path(row), omitted)) is not None:
                    images[name] = CameraImage(_stamp_ns(row), encoded=encoded)
                    poses[name] = self._poses[row["ego_pose_token"]]
            sweep = read_sweep(partial(self._sweep, keyframe), omitted) if "lidar" in keyframe else None
            return Frame(index, self._rig(keyframe), images, poses, sweep)

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
        absent = 0
        for token in sorted(samples, key=order.__getitem__):
            keyframe = rows[token]
            if any(name in keyframe and self._path(keyframe[name]).is_file() for name in CAMERAS):
                yield keyframe
            else:
                absent += 1
        if absent:
            self._known.append(f"{absent} of {len(samples)} keyframes of {self._tables.name} have no image on disk")

    def _rig(self, keyframe: Mapping[str, Row]) -> Rig:
        cameras = self._recorded.cameras
        return Rig(tuple(self._camera(c.name, keyframe[c.name]) if c.name in keyframe else c for c in cameras))

    def _camera(self, name: str, row: Row) -> Camera:
        calibration = self._calibrations[row["calibrated_sensor_token"]]
        K, T_base_camera = np.array(calibration["camera_intrinsic"]), _pose(calibration)
        return Camera(name, row["width"], row["height"], K=K, T_base_camera=T_base_camera)

    def _sweep(self, keyframe: Mapping[str, Row]) -> LidarSweep:
        row = keyframe["lidar"]
        path = self._path(row)
        if not path.is_file():
            raise AbsentFileError(str(path))
        with reading(path):
            points = finite_points(np.frombuffer(read_bytes(path), dtype="<f4").reshape(-1, 5))
        T_base_lidar = _pose(self._calibrations[row["calibrated_sensor_token"]])
        return LidarSweep(_stamp_ns(row), transform(T_base_lidar, points), self._poses[row["ego_pose_token"]])


def _find_tables(root: Path, version: str | None) -> Path:
    if version is None and root.name.startswith("v1.0-") and (root / "sample.json").is_file():
        return root
    versions = sorted(path.name for path in root.glob("v1.0-*") if path.is_dir())
    if version in versions or (version is None and len(versions) == 1):
        return root / (version or versions[0])
    if not versions:
        raise FsmdeError(f"nuScenes root {root} holds no folder v1.0-* of JSON tables")
    raise FsmdeError(
        f"nuScenes root {root} holds {versions}, {'not ' + version if version else 'more than one'}: choose one with "
        f"--data-version {versions[0]} or --root {root / versions[0]}"
    )


def _stamp_ns(row: Row) -> int:
    return int(row["timestamp"]) * 1000  # the tables count microseconds


def _pose(row: Row) -> Matrix:
    return recorded_pose(row["rotation"], row["translation"])
