"""Reads DDAD (Toyota Research Institute; CC BY-NC-SA 4.0) in DGP layout: scene_dataset, scene and calibration JSONs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import Matrix, invert, transform
from fsmde_core.rig.rig import Camera, Rig
from fsmde_core.sources.datasets.dataset import DatasetSource
from fsmde_core.sources.datasets.files import AbsentFileError, finite_points, read_image, read_json, read_sweep, reading
from fsmde_core.sources.datasets.poses import recorded_pose
from fsmde_core.sources.source import Omission

CAMERAS = ("camera_01", "camera_06", "camera_08", "camera_09", "camera_07", "camera_05")
LIDAR = "lidar"
SPLITS = {"train": "0", "val": "1", "test": "2"}


class DgpDatum(NamedTuple):
    """Describes one file of one sensor: where it lies, when it was recorded, and the sensor's pose at that time."""

    path: Path
    stamp_ns: int
    T_world_sensor: Matrix
    size: tuple[int, int]


class DgpSample(NamedTuple):
    calibration: Path
    datums: dict[str, DgpDatum]

    def images_on_disk(self) -> list[str]:
        return [name for name in CAMERAS if name in self.datums and self.datums[name].path.is_file()]


class DdadSource(DatasetSource):
    """Reads the samples of every scene, or of one split ("0" or "train", "1" or "val", "2" or "test").

    A sample is read where it has an image of any camera on disk. base_link is DDAD's own vehicle frame, which its lidar
    files are in: REP-103, close to the road. T_world_base[name] @ T_base_camera is the recorded pose of the camera
    exactly. cameras, rig: as in `DatasetSource`. Raises FsmdeError when `root` is no DGP data set with a DDAD camera.
    """

    name = "ddad"

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        cameras: Sequence[str] | None = None,
        rig: str | Path | None = None,
    ) -> None:
        super().__init__(cameras, rig)
        self.root = Path(root)
        self._calibrations: dict[Path, dict[str, tuple[Matrix, Matrix]]] = {}
        samples = [sample for scene in self._scenes(split) for sample in _read_samples(scene)]
        self._samples = tuple(sample for sample in samples if sample.images_on_disk())
        if not self._samples:
            raise FsmdeError(f"{self.root}: no sample has an image on disk of a camera {[c.upper() for c in CAMERAS]}")
        if absent := len(samples) - len(self._samples):
            self._known.append(f"{absent} of {len(samples)} samples have no image on disk")
        on_disk = set().union(*(sample.images_on_disk() for sample in self._samples))
        first = {name: sample for sample in reversed(self._samples) for name in sample.images_on_disk()}
        chosen = self._choose([name for name in CAMERAS if name in on_disk])
        self._recorded = Rig(tuple(self._camera(name, first[name]) for name in chosen))
        self.rig = self._rig_of(self._recorded)

    def __len__(self) -> int:
        return len(self._samples)

    def _read(self, index: int, omitted: list[Omission]) -> Frame:
        sample = self._samples[index]
        rig = self._rig(sample)
        images, poses = {}, {}
        for camera in rig.cameras:
            datum = sample.datums.get(camera.name)
            if datum is not None and (encoded := read_image(datum.path, omitted)) is not None:
                images[camera.name] = CameraImage(datum.stamp_ns, encoded=encoded)
                poses[camera.name] = datum.T_world_sensor @ invert(camera.T_base_camera)
        sweep = read_sweep(partial(self._sweep, sample), omitted) if LIDAR in sample.datums else None
        return Frame(index, rig, images, poses, sweep)

    def _scenes(self, split: str | None) -> list[Path]:
        documents = {path: read_json(path) for path in sorted(self.root.glob("*.json"))}
        path = next((path for path, d in documents.items() if isinstance(d, dict) and "scene_splits" in d), None)
        if path is None:
            raise FsmdeError(f"{self.root} is no DGP data set: no JSON file there has 'scene_splits'")
        with reading(path):
            splits = {key: group["filenames"] for key, group in sorted(documents[path]["scene_splits"].items())}
            key = SPLITS.get(split, split) if split else None
            if key is None or key in splits:
                chosen = splits.values() if key is None else [splits[key]]
                return [self.root / name for name in dict.fromkeys(name for names in chosen for name in names)]
        raise FsmdeError(f"{self.root} has no split '{split}', only {list(splits)}")

    def _rig(self, sample: DgpSample) -> Rig:
        cameras = self._recorded.cameras
        return Rig(tuple(self._camera(c.name, sample) if c.name in sample.datums else c for c in cameras))

    def _camera(self, name: str, sample: DgpSample) -> Camera:
        K, T_base_camera = self._calibration(sample, name)
        return Camera(name, *sample.datums[name].size, K=K, T_base_camera=T_base_camera)

    def _calibration(self, sample: DgpSample, name: str) -> tuple[Matrix, Matrix]:
        path = sample.calibration
        if path not in self._calibrations:
            document = read_json(path)
            with reading(path):
                entries = zip(document["names"], document["intrinsics"], document["extrinsics"], strict=True)
                self._calibrations[path] = {n.lower(): (_intrinsics(k), _pose(pose)) for n, k, pose in entries}
        if name not in self._calibrations[path]:
            raise FsmdeError(f"calibration {path} lacks {name.upper()}, it has {sorted(self._calibrations[path])}")
        return self._calibrations[path][name]

    def _sweep(self, sample: DgpSample) -> LidarSweep:
        datum = sample.datums[LIDAR]
        if not datum.path.is_file():
            raise AbsentFileError(str(datum.path))
        with reading(datum.path), np.load(datum.path) as arrays:
            xyz = finite_points(arrays["data"])
        _, T_base_lidar = self._calibration(sample, LIDAR)
        points = transform(T_base_lidar, xyz).astype(np.float32)
        return LidarSweep(datum.stamp_ns, points, datum.T_world_sensor @ invert(T_base_lidar))


def _read_samples(scene: Path) -> list[DgpSample]:
    """Read the samples of a scene in the order of the file, which is that of time."""
    document, samples = read_json(scene), []
    with reading(scene):
        entries = {entry["key"]: entry for entry in document["data"]}
        for sample in document["samples"]:
            wanted = [entries[key] for key in sample["datum_keys"] if key in entries]
            datums = {e["id"]["name"].lower(): _datum(scene.parent, e) for e in wanted}
            samples.append(DgpSample(scene.parent / "calibration" / f"{sample['calibration_key']}.json", datums))
    return samples


def _datum(folder: Path, entry: dict[str, Any]) -> DgpDatum:
    content = entry["datum"].get("image") or entry["datum"]["point_cloud"]
    size = (int(content.get("width", 0)), int(content.get("height", 0)))
    return DgpDatum(folder / content["filename"], _stamp_ns(entry["id"]["timestamp"]), _pose(content["pose"]), size)


def _stamp_ns(text: str) -> int:
    """Convert a DGP stamp to nanoseconds since 1970.

    DDAD's stamps count 100 ns but were written as if microseconds, which puts its 10 Hz drives of 2019 into the year
    2464 at 1 Hz; ROS time ends in 2038.
    """
    since = datetime.fromisoformat(text.replace("Z", "+00:00")) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    microseconds = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    return microseconds * (100 if since.days > 68 * 365 else 1000)


def _pose(entry: dict[str, dict[str, float]]) -> Matrix:
    rotation, translation = entry["rotation"], entry["translation"]
    return recorded_pose([rotation[k] for k in ("qw", "qx", "qy", "qz")], [translation[k] for k in "xyz"])


def _intrinsics(k: dict[str, float]) -> Matrix:
    return np.array([[k["fx"], k.get("skew", 0.0), k["cx"]], [0.0, k["fy"], k["cy"]], [0, 0, 1]], dtype=np.float64)
