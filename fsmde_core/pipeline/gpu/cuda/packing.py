"""Host side of kernels/pack.cu: depth and sigma on the GPU to the bytes of a point cloud in host memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.loops import MOST_CELLS
from fsmde_core.clouds.packer import COLOR_FIELDS, PLAIN_FIELDS, CloudSettings, PackedCloud, pinhole_geometry
from fsmde_core.cuda.driver import Driver, Memory
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu.cuda.download import CudaDownload
from fsmde_core.rig.rig import Camera

VIEW = np.dtype([("rays", "f4", 9), ("origin", "f4", 3)], align=True)
CLOUD = np.dtype(
    [(name, "u8") for name in ("depth", "sigma", "rgb", "views", "tiles", "records", "cubes", "first", "slots")]
    + [("mask", "u4"), ("cameras", "i4"), ("width", "i4"), ("height", "i4"), ("stride", "i4")]
    + [(name, "f4") for name in ("min_range", "max_range", "max_relative_sigma", "cubes_per_metre")],
    align=True,
)
TILE = 256  # points per block, as in the kernel
_SCAN_THREADS = 1024


class CudaPacker:
    """Packs clouds of up to `cameras` depth images of width x height pixels. One caller at a time."""

    def __init__(self, driver: Driver, cameras: int, width: int, height: int) -> None:
        self._driver = driver
        self._module = driver.module(Path(__file__).parent / "kernels" / "pack.cu")
        self._size = (width, height)
        self._most_points = cameras * width * height
        self._views = driver.pinned((cameras,), VIEW)
        self._views_there = driver.device(self._views.nbytes)
        self._tiles = driver.device(4 * (-(-self._most_points // TILE) + 1))
        record_bytes = 4 * len(COLOR_FIELDS) * self._most_points
        self._records = driver.device(record_bytes)
        self._count = driver.pinned((1,), np.uint32)
        self._begun, self._counted, self._written = (driver.event() for _ in range(3))
        self._download = CudaDownload(driver, record_bytes)
        self._voxels: _Voxels | None = None

    def pack(
        self, cameras: Sequence[Camera], settings: CloudSettings, rgb: int, depth: int, sigma: int, stream: Any
    ) -> tuple[PackedCloud, dict[str, float]]:
        """The fused cloud of N cameras in the base frame, and its stage times; waits for it.

        rgb: address of (N, H, W, 3) uint8; depth, sigma: of (N, H, W) float32 metres, ready on `stream`. The data are
        the packer's own buffer: valid until its next `pack`.
        """
        columns, rows = (-(-size // settings.stride) for size in self._size)
        tiles = -(-len(cameras) * columns * rows // TILE)
        self._driver.record(self._begun, stream)
        parameters = self._parameters(cameras, settings, stream)
        parameters["depth"], parameters["sigma"], parameters["rgb"] = depth, sigma, rgb if settings.color else 0
        if settings.voxel_size:
            self._check_reach(parameters, settings, columns, rows)
            self._use_voxels(parameters, tiles * TILE, settings.voxel_size, stream)
            self._module.launch("claim_cubes", (tiles,), (TILE,), stream, parameters)
        self._module.launch("count_points", (tiles,), (TILE,), stream, parameters)
        self._module.launch("add_up_tiles", (1,), (_SCAN_THREADS,), stream, parameters)
        self._driver.to_host(self._count, int(self._tiles) + 4 * tiles, stream)
        self._driver.record(self._counted, stream)
        self._module.launch("write_points", (tiles,), (TILE,), stream, parameters)
        self._driver.record(self._written, stream)
        self._driver.wait(self._counted)
        return self._fetch(int(self._count[0]), settings, stream)

    def _parameters(self, cameras: Sequence[Camera], settings: CloudSettings, stream: Any) -> np.void:
        views = self._views[: len(cameras)]
        rays, views["origin"] = pinhole_geometry(tuple(cameras), settings.stride)
        views["rays"] = rays.reshape(-1, 9)
        self._driver.to_device(int(self._views_there), views, stream)
        parameters = np.zeros(1, CLOUD)[0]
        parameters["views"], parameters["tiles"] = int(self._views_there), int(self._tiles)
        parameters["records"] = int(self._records)
        parameters["cameras"], (parameters["width"], parameters["height"]) = len(cameras), self._size
        for name in ("stride", "min_range", "max_range", "max_relative_sigma"):
            parameters[name] = getattr(settings, name)
        return parameters

    def _check_reach(self, parameters: np.void, settings: CloudSettings, columns: int, rows: int) -> None:
        reach = _reach(self._views[: parameters["cameras"]], columns, rows, settings.max_range)
        if reach / settings.voxel_size >= MOST_CELLS - 1:
            raise FsmdeError(
                f"cloud voxel_size is {settings.voxel_size} m, too small for points up to {reach:.0f} m away; "
                f"expected at least {reach / MOST_CELLS:.2g} m"
            )

    def _use_voxels(self, parameters: np.void, points: int, voxel_size: float, stream: Any) -> None:
        if self._voxels is None:
            self._voxels = _Voxels(self._driver, self._most_points)
        self._voxels.clear(parameters, points, stream)
        parameters["cubes_per_metre"] = 1 / voxel_size

    def _fetch(self, count: int, settings: CloudSettings, stream: Any) -> tuple[PackedCloud, dict[str, float]]:
        fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        data, stage_ms = self._download.fetch(int(self._records), 4 * len(fields) * count, stream)
        stage_ms["pack"] = self._driver.elapsed_ms(self._begun, self._written)
        return PackedCloud(data, 1, count, fields, is_dense=True), stage_ms

    def close(self) -> None:
        """Give the memory back, and the events, which can only be destroyed in a current context."""
        self._download.close()
        for memory in (self._views_there, self._tiles, self._records):
            memory.free()
        if self._voxels is not None:
            self._voxels.close()
        del self._begun, self._counted, self._written


class _Voxels:
    """The hash table of cubes for up to `points` points."""

    def __init__(self, driver: Driver, points: int) -> None:
        self._driver = driver
        slots = _slots(-(-points // TILE) * TILE)
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


def _reach(views: NDArray[np.void], columns: int, rows: int, max_range: float) -> float:
    """The largest coordinate, in metres, that a point within the range can have: rays are longest at the corners."""
    corners = np.array([[u, v, 1] for u in (0, columns - 1) for v in (0, rows - 1)], np.float32)
    rays = views["rays"].reshape(-1, 3, 3) @ corners.T
    return float((np.abs(rays).max((1, 2)) * max_range + np.abs(views["origin"]).max(1)).max())
