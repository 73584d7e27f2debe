"""Packs depth and sigma on the GPU to the bytes of a point cloud in host memory: the host side of kernels/pack.cu."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.loops import MOST_CELLS
from fsmde_core.clouds.packer import CloudSettings, PackedCloud, pinhole_geometry, voxel_size_error
from fsmde_core.cuda.driver import Driver, Memory
from fsmde_core.messages.point_cloud import COLOR_FIELDS, PLAIN_FIELDS, point_step
from fsmde_core.pipeline.gpu.download import PIECE_BYTES, PiecewiseDownload
from fsmde_core.rig.rig import Camera

VIEW = np.dtype([("rays", "f4", 9), ("origin", "f4", 3)], align=True)
CLOUD = np.dtype(
    [(name, "u8") for name in ("depth", "sigma", "rgb", "views", "tiles", "records", "voxels", "first", "slots")]
    + [("mask", "u4"), ("cameras", "i4"), ("width", "i4"), ("height", "i4"), ("stride", "i4")]
    + [(name, "f4") for name in ("min_range", "max_range", "max_relative_sigma", "voxels_per_metre")],
    align=True,
)
TILE = 256  # points per block, as in the kernel
_SCAN_THREADS = 1024


class CudaPacker:
    """Packs clouds of up to `cameras` depth images of width x height pixels. One caller at a time.

    rgb, depth, sigma: device addresses of (N, H, W, 3) uint8 and twice (N, H, W) float32 metres; stream: what writes
    them. The cloud is valid until the next one; beside it `pack` gives the milliseconds by stage.
    """

    def __init__(self, driver: Driver, cameras: int, width: int, height: int) -> None:
        self._driver = driver
        self._module = driver.load_module(Path(__file__).parent / "kernels" / "pack.cu")
        self._size = (width, height)
        self._most_points = cameras * width * height
        self._views = driver.allocate_pinned((cameras,), VIEW)
        self._device_views = driver.allocate(self._views.nbytes)
        self._tiles = driver.allocate(4 * (-(-self._most_points // TILE) + 1))
        record_bytes = point_step(COLOR_FIELDS) * self._most_points
        self._records = driver.allocate(record_bytes)
        self._count = driver.allocate_pinned((1,), np.uint32)
        self._started, self._counted, self._written = (driver.create_event() for _ in range(3))
        self._staging = driver.allocate_pinned((record_bytes,), np.uint8)
        self._arrivals = [driver.create_event() for _ in range(1 + -(-record_bytes // PIECE_BYTES))]
        self._download = PiecewiseDownload(self._staging, partial(_synchronize, driver), driver.elapsed_ms)
        self._table: list[Memory] = []

    def pack(
        self, cameras: Sequence[Camera], settings: CloudSettings, rgb: int, depth: int, sigma: int, stream: Any
    ) -> tuple[PackedCloud, dict[str, float]]:
        columns, rows = (-(-size // settings.stride) for size in self._size)
        tiles = -(-len(cameras) * columns * rows // TILE)
        self._driver.record_event(self._started, stream)
        parameters = self._parameters(cameras, settings, stream)
        parameters["depth"], parameters["sigma"], parameters["rgb"] = depth, sigma, rgb if settings.color else 0
        if settings.voxel_size:
            self._use_voxels(parameters, settings, (columns, rows), tiles * TILE, stream)
            self._module.launch("claim_voxels", (tiles,), (TILE,), stream, parameters)
        self._module.launch("count_points", (tiles,), (TILE,), stream, parameters)
        self._module.launch("scan_tiles", (1,), (_SCAN_THREADS,), stream, parameters)
        self._driver.to_host(self._count, int(self._tiles) + 4 * tiles, stream)
        self._driver.record_event(self._counted, stream)
        self._module.launch("write_points", (tiles,), (TILE,), stream, parameters)
        self._driver.record_event(self._written, stream)
        self._driver.synchronize(self._counted)
        return self._fetch(int(self._count[0]), settings, stream)

    def _parameters(self, cameras: Sequence[Camera], settings: CloudSettings, stream: Any) -> np.void:
        views = self._views[: len(cameras)]
        rays, views["origin"] = pinhole_geometry(tuple(cameras), settings.stride)
        views["rays"] = rays.reshape(-1, 9)
        self._driver.to_device(int(self._device_views), views, stream)
        parameters = np.zeros(1, CLOUD)[0]
        parameters["views"], parameters["tiles"] = int(self._device_views), int(self._tiles)
        parameters["records"] = int(self._records)
        parameters["cameras"], (parameters["width"], parameters["height"]) = len(cameras), self._size
        for name in ("stride", "min_range", "max_range", "max_relative_sigma"):
            parameters[name] = getattr(settings, name)
        return parameters

    def _use_voxels(
        self, parameters: np.void, settings: CloudSettings, size: tuple[int, int], points: int, stream: Any
    ) -> None:
        """Empty as much of the hash table as `points` points need, and put its addresses into the parameters."""
        reach = _reach(self._views[: parameters["cameras"]], *size, settings.max_range)
        if reach / settings.voxel_size >= MOST_CELLS - 1:
            raise voxel_size_error(settings.voxel_size, reach)
        if not self._table:
            slots = _table_size(-(-self._most_points // TILE) * TILE)
            self._table = [self._driver.allocate(nbytes) for nbytes in (8 * slots, 4 * slots, 4 * self._most_points)]
        slots = _table_size(points)
        parameters["voxels"], parameters["first"], parameters["slots"] = (int(memory) for memory in self._table)
        parameters["mask"], parameters["voxels_per_metre"] = slots - 1, 1 / settings.voxel_size
        self._driver.memset(int(parameters["voxels"]), 0xFF, 8 * slots, stream)
        self._driver.memset(int(parameters["first"]), 0xFF, 4 * slots, stream)

    def _fetch(self, count: int, settings: CloudSettings, stream: Any) -> tuple[PackedCloud, dict[str, float]]:
        fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS

        def start_copy(piece: slice) -> None:
            self._driver.to_host(self._staging[piece], int(self._records) + piece.start, stream)

        def record_event(number: int) -> Any:
            self._driver.record_event(self._arrivals[number], stream)
            return self._arrivals[number]

        data, stage_ms = self._download.fetch(point_step(fields) * count, start_copy, record_event)
        stage_ms["pack"] = self._driver.elapsed_ms(self._started, self._written)
        return PackedCloud(data, 1, count, fields, is_dense=True), stage_ms

    def close(self) -> None:
        """Give the memory back, and the events, which can only be destroyed in a current context."""
        self._download.close()
        for memory in (self._device_views, self._tiles, self._records, *self._table):
            memory.free()
        self._arrivals.clear()
        del self._started, self._counted, self._written, self._download, self._staging


def _synchronize(driver: Driver, event: Any) -> None:
    with driver.as_current():
        driver.synchronize(event)


def _table_size(points: int) -> int:
    """Return a power of two, at least twice as many as points."""
    return 2 << (points - 1).bit_length()


def _reach(views: NDArray[np.void], columns: int, rows: int, max_range: float) -> float:
    """Return the largest coordinate in metres of a point within the range: rays are longest at the corners."""
    corners = np.array([[u, v, 1] for u in (0, columns - 1) for v in (0, rows - 1)], np.float32)
    rays = views["rays"].reshape(-1, 3, 3) @ corners.T
    return float((np.abs(rays).max((1, 2)) * max_range + np.abs(views["origin"]).max(1)).max())
