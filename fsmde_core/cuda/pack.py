"""Host side of kernels/pack.cu: depth and sigma on the GPU to the bytes of a point cloud in host memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds import COLOR_FIELDS, PLAIN_FIELDS, CloudSettings, PackedCloud
from fsmde_core.cuda.driver import Driver, Memory
from fsmde_core.errors import FsmdeError
from fsmde_core.rig import Camera

VIEW = np.dtype([("rays", "f4", 9), ("origin", "f4", 3)], align=True)
CLOUD = np.dtype(
    [(name, "u8") for name in ("depth", "sigma", "rgb", "views", "tiles", "records", "cubes", "first", "slots")]
    + [("mask", "u4"), ("cameras", "i4"), ("width", "i4"), ("height", "i4"), ("stride", "i4")]
    + [(name, "f4") for name in ("min_range", "max_range", "max_relative_sigma", "cubes_per_metre")],
    align=True,
)
TILE = 256  # points per block, as in the kernel
_SCAN_THREADS = 1024
_CELLS = 2**20  # from the base frame's origin in each direction; the kernel has CELL_BITS = 21 for both


class Packer:
    """Packs clouds of up to `cameras` depth images of width x height pixels. One caller at a time."""

    def __init__(self, driver: Driver, cameras: int, width: int, height: int) -> None:
        self._driver = driver
        self._module = driver.module(Path(__file__).parent / "kernels" / "pack.cu")
        self._size = (width, height)
        points = cameras * width * height
        self._views = driver.pinned((cameras,), VIEW)
        self._views_there = driver.device(self._views.nbytes)
        self._tiles = driver.device(4 * (-(-points // TILE) + 1))
        self._records = driver.device(4 * len(COLOR_FIELDS) * points)
        self._count = driver.pinned((1,), np.uint32)
        self._voxels: _Voxels | None = None
        self._most_points = points
        self._counted = driver.event()
        self._data = array("B")

    def pack(
        self, cameras: Sequence[Camera], settings: CloudSettings, rgb: int, depth: int, sigma: int, stream: Any
    ) -> PackedCloud:
        """The fused cloud of N cameras in the base frame; waits for it.

        rgb: address of (N, H, W, 3) uint8; depth, sigma: of (N, H, W) float32 metres, ready on `stream`. The data are
        the packer's own buffer: valid until its next `pack`.
        """
        for row, camera in zip(self._views, cameras, strict=False):
            row["rays"], row["origin"] = _view(camera)
        self._driver.to_device(int(self._views_there), self._views[: len(cameras)], stream)
        parameters = self._parameters(len(cameras), settings)
        parameters["depth"], parameters["sigma"], parameters["rgb"] = depth, sigma, rgb if settings.color else 0
        points = _point_count(parameters)
        tiles = -(-points // TILE)
        if settings.voxel_size:
            self._claim(parameters, points, settings.voxel_size, stream)
        self._module.launch("count_points", (tiles,), (TILE,), stream, parameters)
        self._module.launch("add_up_tiles", (1,), (_SCAN_THREADS,), stream, parameters)
        self._driver.to_host(self._count, int(self._tiles) + 4 * tiles, stream)
        self._driver.record(self._counted, stream)
        self._module.launch("write_points", (tiles,), (TILE,), stream, parameters)
        self._driver.wait(self._counted)
        return self._fetch(int(self._count[0]), settings, stream)

    def _parameters(self, cameras: int, settings: CloudSettings) -> np.void:
        parameters = np.zeros(1, CLOUD)[0]
        parameters["views"], parameters["tiles"] = int(self._views_there), int(self._tiles)
        parameters["records"] = int(self._records)
        parameters["cameras"], (parameters["width"], parameters["height"]) = cameras, self._size
        for name in ("stride", "min_range", "max_range", "max_relative_sigma"):
            parameters[name] = getattr(settings, name)
        return parameters

    def _claim(self, parameters: np.void, points: int, voxel_size: float, stream: Any) -> None:
        """Find the first point of every cube."""
        views = self._views[: parameters["cameras"]]
        reach = _reach(views, *self._size, float(parameters["max_range"]))
        if reach / voxel_size >= _CELLS - 1:
            raise FsmdeError(
                f"cloud voxel_size {voxel_size} m is too small for points up to {reach:.0f} m away; raise it"
            )
        if self._voxels is None:
            self._voxels = _Voxels(self._driver, self._most_points)
        self._voxels.clear(parameters, points, stream)
        parameters["cubes_per_metre"] = 1 / voxel_size
        self._module.launch("claim_cubes", (-(-points // TILE),), (TILE,), stream, parameters)

    def _fetch(self, count: int, settings: CloudSettings, stream: Any) -> PackedCloud:
        fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        self._data = _resized(self._data, 4 * len(fields) * count)
        if count:
            self._driver.to_host(np.frombuffer(self._data, np.uint8), int(self._records), stream)
        self._driver.record(self._counted, stream)
        self._driver.wait(self._counted)
        return PackedCloud(self._data, 1, count, fields, is_dense=True)

    def close(self) -> None:
        """Give the memory back, and the event, which can only be destroyed in a current context."""
        for memory in (self._views_there, self._tiles, self._records):
            memory.free()
        if self._voxels is not None:
            self._voxels.close()
        del self._counted


class _Voxels:
    """The hash table of cubes for up to `points` points."""

    def __init__(self, driver: Driver, points: int) -> None:
        self._driver = driver
        slots = _slots(points)
        self._cubes: Memory = driver.device(8 * slots)
        self._first: Memory = driver.device(4 * slots)
        self._slots: Memory = driver.device(4 * points)

    def clear(self, parameters: np.void, points: int, stream: Any) -> None:
        """Empty as much of the table as so many points need, and name it to the kernels."""
        slots = _slots(points)
        self._driver.fill(int(self._cubes), 0xFF, 8 * slots, stream)
        self._driver.fill(int(self._first), 0xFF, 4 * slots, stream)
        parameters["cubes"], parameters["first"] = int(self._cubes), int(self._first)
        parameters["slots"], parameters["mask"] = int(self._slots), slots - 1

    def close(self) -> None:
        for memory in (self._cubes, self._first, self._slots):
            memory.free()


def _slots(points: int) -> int:
    """A power of two, at least twice as many as points."""
    return 2 << (points - 1).bit_length()


def _point_count(parameters: np.void) -> int:
    stride = int(parameters["stride"])
    return int(parameters["cameras"]) * -(-int(parameters["width"]) // stride) * -(-int(parameters["height"]) // stride)


def _view(camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """rays (9,), origin (3,): a pixel (u, v) of depth d is the point origin + d * rays (3, 3) @ (u, v, 1)."""
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; points are made of rectified cameras")
    pose = camera.T_base_camera
    return (pose[:3, :3] @ np.linalg.inv(camera.K)).ravel(), pose[:3, 3]


def _reach(views: NDArray[np.void], width: int, height: int, max_range: float) -> float:
    """The largest coordinate, in metres, that a point within the range can have: rays are longest at the corners."""
    corners = np.array([[u, v, 1] for u in (0, width) for v in (0, height)], np.float32)
    rays = views["rays"].reshape(-1, 3, 3) @ corners.T
    return float((np.abs(rays).max((1, 2)) * max_range + np.abs(views["origin"]).max(1)).max())


def _resized(data: array[int], nbytes: int) -> array[int]:
    """`data` with exactly so many bytes, as publishers want it; a new array where somebody still looks at it."""
    try:
        if nbytes < len(data):
            del data[nbytes:]
        else:
            data.frombytes(bytes(nbytes - len(data)))
    except BufferError:
        return array("B", bytes(nbytes))
    return data
