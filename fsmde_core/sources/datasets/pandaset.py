"""Reads PandaSet sequences (Hesai, Scale AI; CC BY 4.0) in the layout of the pandaset-devkit; any subset of frames.

PandaSet has no ego frame of its own. Its lidar poses are in fact poses of the vehicle: x right, y forward, z up, with
the origin near the road. `base_link` is that pose rotated to REP-103 and lowered onto the road.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, interpolate, invert, mean_pose, rigid, transform
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.dataset import DatasetSource
from fsmde_core.sources.datasets.files import AbsentFileError, finite_points, read_image, read_json, read_sweep, reading
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.datasets.table_pickle import read_table
from fsmde_core.sources.source import Omission

CAMERAS = ("front", "front_right", "right", "back", "left", "front_left")
IMAGE_SIZE = (1920, 1080)
ROAD_BELOW_POSE = 0.30
"""Metres from the origin of a lidar pose down to the road: plane fits to lidar points within 8 m give 0.30 to 0.36."""

T_POSE_BASE = rigid(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), [0.0, 0.0, -ROAD_BELOW_POSE])


LIDARS = {"pandar64": 0, "pandargt": 1}
"""The spinning lidar on the roof and the one that looks ahead, by their number in column `d` of the tables."""
TABLES = (".npz", ".pkl.gz", ".pkl")
"""Suffixes of a sweep's file: this project's own, the download's, that of a mirror."""


class PandaSetSource(DatasetSource):
    """Reads one PandaSet sequence: the frames with an image of any of its cameras, with a lidar sweep if there is one.

    Camera poses are those recorded per frame: T_world_base[name] @ T_base_camera gives them back exactly.
    Sweeps are in the world frame, already free of ego motion: `lidar/NN.pkl.gz` or `.pkl`, tables of pandas with the
    points of both lidars, metres, or `lidar/NN.npz` with `xyz_world_cm` (N, 3) int16, centimetres, of the spinning one.
    lidar: the one of LIDARS that is read. cameras, rig: as in `DatasetSource`.
    """

    name = "pandaset"

    def __init__(
        self,
        root: str | Path,
        cameras: Sequence[str] | None = None,
        lidar: str = "pandar64",
        rig: str | Path | None = None,
    ) -> None:
        super().__init__(cameras, rig)
        if lidar not in LIDARS:
            raise FsmdeError(f"PandaSet has no lidar '{lidar}'; choose one of {list(LIDARS)}")
        self.root, self._lidar = Path(root), lidar
        images = {name: _image_numbers(self._folder(name)) for name in CAMERAS}
        there = [name for name in CAMERAS if images[name]]
        if not there:
            names = "camera/front_camera/00.jpg ..."
            raise FsmdeError(f"{self.root} is no PandaSet sequence: it has no image of a camera ({names})")
        chosen = self._choose(there)
        self._lidar_times, self._T_world_base = _read_track(self.root / "lidar", T_POSE_BASE)
        self._tracks = {name: _read_track(self._folder(name), np.eye(4)) for name in chosen}
        found = sorted(set().union(*(images[name] for name in chosen)))
        shortest = min(len(times) for times, _ in [*self._tracks.values(), (self._lidar_times, None)])
        self.numbers = tuple(number for number in found if number < shortest)
        """Frame numbers in the recording, one per frame of this source: the NN of NN.jpg."""
        if not self.numbers:
            raise FsmdeError(f"{self.root}: images begin at frame {found[0]}, but poses end at {shortest - 1}")
        if self.numbers[-1] < found[-1]:
            self._known.append(f"frames {shortest} to {found[-1]} have images but no poses, and are left out")
        self.rig = self._rig_of(Rig(tuple(self._camera(name) for name in chosen)))
        self._mounts = {name: mean_pose(self.mount_poses(name)) for name in chosen}

    def __len__(self) -> int:
        return len(self.numbers)

    def _read(self, index: int, omitted: list[Omission]) -> Frame:
        number = self.numbers[index]
        images, poses = {}, {}
        for name, (times, T_world_camera) in self._tracks.items():
            path = self._folder(name) / f"{number:02d}.jpg"
            if (encoded := read_image(path, omitted)) is not None:
                images[name] = CameraImage(_nanoseconds(times[number]), encoded=encoded)
                poses[name] = T_world_camera[number] @ invert(self._mounts[name])
        return Frame(index, self.rig, images, poses, read_sweep(partial(self._sweep, number), omitted))

    def mount_poses(self, name: str) -> NDArray[np.float64]:
        """Compute (N, 4, 4) T_base_camera: each recorded camera pose against the vehicle's, interpolated in time."""
        track, times = self._T_world_base, self._lidar_times
        poses = []
        for time, T_world_camera in zip(*self._tracks[name], strict=True):
            after = int(np.searchsorted(times, time))
            if 0 < after < len(times):
                fraction = (time - times[after - 1]) / (times[after] - times[after - 1])
                poses.append(invert(interpolate(track[after - 1], track[after], fraction)) @ T_world_camera)
        if not poses:
            raise FsmdeError(f"{self.root}: no stamp of camera '{name}' lies within lidar/timestamps.json")
        return np.stack(poses)

    def _folder(self, name: str) -> Path:
        return self.root / "camera" / f"{name}_camera"

    def _camera(self, name: str) -> Camera:
        path = self._folder(name) / "intrinsics.json"
        k = read_json(path)
        with reading(path):
            K = np.array([[k["fx"], 0, k["cx"]], [0, k["fy"], k["cy"]], [0, 0, 1]], dtype=np.float64)
        return Camera(name, *IMAGE_SIZE, K=K, T_base_camera=mean_pose(self.mount_poses(name)))

    def _sweep(self, number: int) -> LidarSweep:
        paths = [self.root / "lidar" / f"{number:02d}{suffix}" for suffix in TABLES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise AbsentFileError(f"{paths[0].with_suffix('')}{{{','.join(TABLES)}}}")
        T_world_base = self._T_world_base[number]
        world = self._packed_points(path) if path.suffix == ".npz" else self._table_points(path)
        points = transform(invert(T_world_base), world).astype(np.float32)
        return LidarSweep(_nanoseconds(self._lidar_times[number]), points, T_world_base)

    def _packed_points(self, path: Path) -> NDArray[np.float64]:
        with reading(path), np.load(path) as arrays:
            if LIDARS[self._lidar]:
                raise FsmdeError("it holds points of the pandar64 only")
            return finite_points(arrays["xyz_world_cm"]).astype(np.float64) / 100  # type: ignore[no-any-return]

    def _table_points(self, path: Path) -> NDArray[np.float64]:
        table = read_table(path)
        with reading(path):
            points = np.stack([table[axis] for axis in "xyz"], axis=1).astype(np.float64)
            return finite_points(points[table["d"] == LIDARS[self._lidar]])


def _image_numbers(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("*.jpg") if path.stem.isdigit()}


def _read_track(folder: Path, T_pose_frame: Matrix) -> tuple[NDArray[np.float64], list[Matrix]]:
    """Read the stamps in seconds and T_world_frame of every frame of a sensor folder."""
    stamps, entries = read_json(folder / "timestamps.json"), read_json(folder / "poses.json")
    with reading(folder):
        times = np.asarray(stamps, dtype=np.float64)
        poses = [_pose(entry) @ T_pose_frame for entry in entries]
        if not np.all(np.isfinite(times)):
            raise ValueError("a stamp is not finite")
    if len(times) != len(poses):
        raise FsmdeError(f"{folder}: {len(times)} timestamps but {len(poses)} poses")
    return times, poses


def _pose(entry: dict[str, dict[str, float]]) -> Matrix:
    position, heading = entry["position"], entry["heading"]
    return recorded_pose([heading[k] for k in "wxyz"], [position[k] for k in "xyz"])


def _nanoseconds(seconds: float) -> int:
    return round(float(seconds) * 1e9)
