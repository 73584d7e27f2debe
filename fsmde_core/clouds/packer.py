"""Depth images to point clouds, written straight into the bytes that are published."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.loops import MOST_CELLS, gate, keep_first_per_voxel, write_image, write_points
from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Camera

COLOR_FIELDS = ("x", "y", "z", "rgb", "sigma")
PLAIN_FIELDS = ("x", "y", "z", "sigma")


@dataclass(frozen=True)
class CloudSettings:
    """Which depths become points.

    min_range, max_range: metres of depth along the optical axis, as in the depth image. max_relative_sigma: largest
    sigma / depth; it takes out sky and edges. stride: every n-th pixel in both directions. voxel_size: metres, one
    point per cube of that edge; 0 keeps all. color: with the packed `rgb` field.
    """

    min_range: float = 0.5
    max_range: float = 80.0
    max_relative_sigma: float = 0.3
    stride: int = 1
    voxel_size: float = 0.0
    color: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_range < self.max_range < math.inf:
            raise FsmdeError(
                f"cloud ranges are {self.min_range} and {self.max_range} m, "
                "expected 0 <= min_range < max_range < infinity"
            )
        if not 0 < self.max_relative_sigma < math.inf:
            raise FsmdeError(f"cloud max_relative_sigma is {self.max_relative_sigma}, expected a finite number above 0")
        if self.stride < 1:
            raise FsmdeError(f"cloud stride is {self.stride}, expected a whole number of pixels from 1")
        if not 0 <= self.voxel_size < math.inf:
            raise FsmdeError(f"cloud voxel_size is {self.voxel_size}, expected metres from 0 (off)")


@dataclass(frozen=True, eq=False)
class PackedCloud:
    """The body of a little-endian sensor_msgs/PointCloud2 whose fields are float32, four bytes apart.

    data: height * width points of point_step bytes; an array.array, which rclpy takes without a look at every byte.
    `rgb` holds the bits of 0x00RRGGBB as PCL packs it. is_dense: every point is finite.
    """

    data: array[int]
    height: int
    width: int
    fields: tuple[str, ...]
    is_dense: bool

    @property
    def count(self) -> int:
        return self.height * self.width

    @property
    def point_step(self) -> int:
        return 4 * len(self.fields)

    def records(self) -> NDArray[np.float32]:
        """(count, fields) float32 view of the data."""
        return np.frombuffer(self.data, np.float32).reshape(-1, len(self.fields))


class _Rows(NamedTuple):
    """The rows of all images of a set, one below the other. depth, sigma: (R, W); rgb: (R, 3 * W)."""

    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    rgb: NDArray[np.uint8]


class CloudPacker:
    """Packs depth batches; one thread at a time may call it."""

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self._fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        self._fused = array("B")
        self._table = np.zeros(0, np.int64)

    def pack(
        self,
        cameras: Sequence[Camera],
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        sigma: NDArray[np.float32],
    ) -> PackedCloud:
        """One cloud of all cameras in the base frame, cameras in the given order.

        cameras: N distortion-free cameras at H x W. rgb: (N, H, W, 3) uint8. depth, sigma: (N, H, W) float32 metres.
        Depths that are not finite or fail a gate are left out; with voxels the first point of each stays. The data are
        the packer's own buffer: valid until its next `pack`.
        """
        rows = self._rows(rgb, depth, sigma)
        keep, counts = self._gate(rows.depth, rows.sigma)
        count = int(counts.sum())
        self._resize_fused(count)
        geometry = pinhole_geometry(tuple(cameras), self.settings.stride)
        write_points[len(self._fields)](*rows, keep, *geometry, counts, np.frombuffer(self._fused, np.float32))
        if self.settings.voxel_size:
            count = self._thin()
            self._resize_fused(count)
        return PackedCloud(self._fused, 1, count, self._fields, is_dense=True)

    def pack_organised(
        self, camera: Camera, rgb: NDArray[np.uint8], depth: NDArray[np.float32], sigma: NDArray[np.float32]
    ) -> PackedCloud:
        """The cloud of one camera as an image of points in its optical frame, NaN where a gate fails; no voxels.

        rgb: (H, W, 3) uint8. depth, sigma: (H, W) float32 metres. The data are new with every call.
        """
        rows = self._rows(rgb[None], depth[None], sigma[None])
        keep, counts = self._gate(rows.depth, rows.sigma)
        height, width = keep.shape
        data = array("B", [0]) * (4 * len(self._fields) * keep.size)
        rays, origin = _unprojection(camera, self.settings.stride)[None], np.zeros((1, 3))
        write_image[len(self._fields)](*rows, keep, rays, origin, counts, np.frombuffer(data, np.float32))
        return PackedCloud(data, height, width, self._fields, is_dense=False)

    def keep(self, depth: NDArray[np.float32], sigma: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where all gates hold, for depth and sigma of any equal shape; every comparison with NaN fails."""
        keep, _ = self._gate(*(np.require(values.reshape(1, -1), np.float32, ["C", "A"]) for values in (depth, sigma)))
        return keep.view(np.bool_).reshape(depth.shape)

    def _rows(self, rgb: NDArray[np.uint8], depth: NDArray[np.float32], sigma: NDArray[np.float32]) -> _Rows:
        """Of the pixels that the stride leaves."""
        step = self.settings.stride
        depth, sigma = (np.ascontiguousarray(values[:, ::step, ::step]) for values in (depth, sigma))
        width = depth.shape[2]
        rgb = np.ascontiguousarray(rgb[:, ::step, ::step])
        return _Rows(depth.reshape(-1, width), sigma.reshape(-1, width), rgb.reshape(-1, 3 * width))

    def _gate(
        self, depth: NDArray[np.float32], sigma: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """keep: (R, W), 1 where all gates hold; counts: (R,) of them in each row."""
        limits = self.settings
        bounds = np.array([limits.min_range, limits.max_range, limits.max_relative_sigma], np.float32)
        keep, counts = np.empty(depth.shape, np.uint8), np.empty(len(depth), np.int64)
        gate(depth, sigma, bounds, keep, counts)
        return keep, counts

    def _thin(self) -> int:
        """Leave the first point of every voxel, at the front of the buffer; how many there are."""
        records = np.frombuffer(self._fused, np.float32).reshape(-1, len(self._fields))
        size = 2 << len(records).bit_length()
        if len(self._table) < size:
            self._table = np.empty(size, np.int64)
        count = keep_first_per_voxel(1 / self.settings.voxel_size, self._table[:size], records)
        if count < 0:
            farthest = float(np.abs(records[:, :3]).max())
            raise FsmdeError(
                f"cloud voxel_size is {self.settings.voxel_size} m, too small for points {farthest:.0f} m away; "
                f"expected at least {farthest / MOST_CELLS:.2g} m"
            )
        return count

    def _resize_fused(self, count: int) -> None:
        """Make the buffer hold exactly `count` points."""
        self._fused = sized(self._fused, 4 * len(self._fields) * count)


def sized(data: array[int], size: int) -> array[int]:
    """`data` made `size` bytes long, as publishers take it, in its memory where it shrinks or grows a little.

    A new array where somebody still looks at the old one.
    """
    try:
        if size < len(data):
            del data[size:]
        else:
            data.frombytes(bytes(size - len(data)))
    except BufferError:
        return array("B", bytes(size))
    return data


@lru_cache(maxsize=16)
def pinhole_geometry(cameras: tuple[Camera, ...], stride: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """rays: (N, 3, 3), origins: (N, 3), to be read only; u and v count the pixels that the stride leaves.

    The pixel (u, v) of depth d is the point origin + d * rays @ (u, v, 1) of the base frame. Kept, as cameras stay the
    same objects from set to set.
    """
    rays = [camera.T_base_camera[:3, :3] @ _unprojection(camera, stride) for camera in cameras]
    return np.stack(rays), np.stack([camera.T_base_camera[:3, 3] for camera in cameras])


def _unprojection(camera: Camera, stride: int = 1) -> NDArray[np.float64]:
    """(3, 3) from (u, v, 1) to the point at depth 1 in the optical frame."""
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; rays are those of a rectified camera")
    return np.asarray(np.linalg.inv(camera.K) @ np.diag([stride, stride, 1.0]), np.float64)


def ray_table(camera: Camera, pose: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rays (3, points) and origin (3,), float32: a pixel of depth d is the point origin + d * ray.

    camera: without distortion. pose: (4, 4) from its optical frame to the frame of the points. Row-major pixels.
    """
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    rays = pose[:3, :3] @ _unprojection(camera) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    return rays.astype(np.float32), pose[:3, 3].astype(np.float32)
