"""Reads PandaSet sequences (Hesai, Scale AI; CC BY 4.0) in the layout of the pandaset-devkit; any subset of frames.

PandaSet has no ego frame of its own. Its lidar poses are in fact poses of the vehicle: x right, y forward, z up, with
the origin near the road. `base_link` is that pose rotated to REP-103 and lowered onto the road.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, interpolate, invert, mean_pose, rigid, transform
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.files import read_bytes, read_json, reading
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.source import IndexedSource

CAMERAS = ("front", "front_right", "right", "back", "left", "front_left")
IMAGE_SIZE = (1920, 1080)
ROAD_BELOW_POSE = 0.30
"""Metres from the origin of a lidar pose down to the road: plane fits to lidar points within 8 m give 0.30 to 0.36."""

T_POSE_BASE = rigid(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), [0.0, 0.0, -ROAD_BELOW_POSE])


class PandaSetSource(IndexedSource):
    """Reads one PandaSet sequence: the frames with an image of all six cameras, with a lidar sweep where there is one.

    Camera poses are those recorded per frame: T_world_base[name] @ T_base_camera gives them back exactly.
    Sweeps are `lidar/NN.npz` with `xyz_world_cm` (N, 3) int16: world frame, centimetres, already free of ego motion.
    """

    name = "pandaset"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._camera_folders = {name: self.root / "camera" / f"{name}_camera" for name in CAMERAS}
        self.numbers = self._frame_numbers()
        """Frame numbers in the recording, one per frame of this source: the NN of NN.jpg."""
        self._lidar_times, self._T_world_base = _read_track(self.root / "lidar", T_POSE_BASE)
        self._tracks = {name: _read_track(folder, np.eye(4)) for name, folder in self._camera_folders.items()}
        shortest = min(len(times) for times, _ in [*self._tracks.values(), (self._lidar_times, None)])
        if self.numbers[-1] >= shortest:
            raise FsmdeError(f"{self.root}: frame {self.numbers[-1]} has images, but poses end at {shortest - 1}")
        self.rig = Rig(tuple(self._camera(name) for name in CAMERAS))

    def __len__(self) -> int:
        return len(self.numbers)

    def frame(self, index: int) -> Frame:
        number = self.numbers[index]
        images, poses = {}, {}
        for name, folder in self._camera_folders.items():
            times, T_world_camera = self._tracks[name]
            images[name] = CameraImage(_nanoseconds(times[number]), encoded=read_bytes(folder / f"{number:02d}.jpg"))
            poses[name] = T_world_camera[number] @ invert(self.rig[name].T_base_camera)
        return Frame(index, self.rig, images, poses, self._sweep(number))

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

    def _frame_numbers(self) -> tuple[int, ...]:
        found = [{int(p.stem) for p in f.glob("*.jpg") if p.stem.isdigit()} for f in self._camera_folders.values()]
        numbers = tuple(sorted(set.intersection(*found)))
        if not numbers:
            names = "camera/front_camera/00.jpg ..."
            raise FsmdeError(f"{self.root} is no PandaSet sequence: no frame has all six images ({names})")
        return numbers

    def _camera(self, name: str) -> Camera:
        path = self._camera_folders[name] / "intrinsics.json"
        k = read_json(path)
        with reading(path):
            K = np.array([[k["fx"], 0, k["cx"]], [0, k["fy"], k["cy"]], [0, 0, 1]], dtype=np.float64)
        return Camera(name, *IMAGE_SIZE, K=K, T_base_camera=mean_pose(self.mount_poses(name)))

    def _sweep(self, number: int) -> LidarSweep | None:
        path = self.root / "lidar" / f"{number:02d}.npz"
        if not path.is_file():
            return None
        with reading(path), np.load(path) as arrays:
            world = arrays["xyz_world_cm"].astype(np.float64) / 100
        T_world_base = self._T_world_base[number]
        points = transform(invert(T_world_base), world).astype(np.float32)
        return LidarSweep(_nanoseconds(self._lidar_times[number]), points, T_world_base)


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
