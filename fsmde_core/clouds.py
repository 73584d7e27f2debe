"""Depth images to point clouds, written straight into the bytes that are published."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.geometry import Matrix
from fsmde_core.rig import Camera

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


class CloudPacker:
    """Packs depth batches. The rays of each camera are computed once and again when its calibration changes."""

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self._fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        self._fused = array("B")
        self._rays: dict[tuple[str, bool], tuple[Camera, NDArray[np.float32], NDArray[np.float32]]] = {}

    def pack(
        self,
        cameras: Sequence[Camera],
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        sigma: NDArray[np.float32],
    ) -> PackedCloud:
        """One cloud of all cameras in the base frame, cameras in the given order.

        cameras: N distortion-free cameras at H x W. rgb: (N, H, W, 3) uint8. depth, sigma: (N, H, W) float32 metres.
        Depths that are not finite or fail a gate are left out. The data are the packer's own buffer: valid until its
        next `pack`.
        """
        step = self.settings.stride
        depth, sigma, rgb = depth[:, ::step, ::step], sigma[:, ::step, ::step], rgb[:, ::step, ::step]
        keep = self.keep(depth, sigma)
        self._resize_fused(int(np.count_nonzero(keep)))
        records = np.frombuffer(self._fused, np.float32).reshape(-1, len(self._fields))
        whole = _as_items(records)
        end = 0
        for index, camera in enumerate(cameras):
            block = self._block(camera, rgb[index], depth[index], sigma[index], optical=False)
            chosen = np.flatnonzero(keep[index])
            start, end = end, end + len(chosen)
            # Three times as fast as a boolean index; "clip", as the default mode goes through a buffer.
            np.take(_as_items(block), chosen, out=whole[start:end], mode="clip")
        if self.settings.voxel_size:
            first = first_per_voxel(records[:, :3], self.settings.voxel_size)
            whole[: len(first)] = whole[first]
            end = len(first)
        del records, whole  # an array with views does not change its length
        self._resize_fused(end)
        return PackedCloud(self._fused, 1, end, self._fields, is_dense=True)

    def pack_organised(
        self, camera: Camera, rgb: NDArray[np.uint8], depth: NDArray[np.float32], sigma: NDArray[np.float32]
    ) -> PackedCloud:
        """The cloud of one camera as an image of points in its optical frame, NaN where a gate fails; no voxels.

        rgb: (H, W, 3) uint8. depth, sigma: (H, W) float32 metres. The data are new with every call.
        """
        step = self.settings.stride
        depth, sigma, rgb = depth[::step, ::step], sigma[::step, ::step], rgb[::step, ::step]
        block = self._block(camera, rgb, depth, sigma, optical=True)
        block[~self.keep(depth, sigma).ravel(), :3] = np.nan
        height, width = depth.shape
        return PackedCloud(array("B", block.tobytes()), height, width, self._fields, is_dense=False)

    def keep(self, depth: NDArray[np.float32], sigma: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where all gates hold, for depth and sigma of any equal shape; every comparison with NaN fails."""
        limits = self.settings
        with np.errstate(invalid="ignore"):
            keep = (depth >= limits.min_range) & (depth <= limits.max_range)
            return keep & (sigma >= 0) & (sigma <= np.float32(limits.max_relative_sigma) * depth)

    def _block(
        self,
        camera: Camera,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        sigma: NDArray[np.float32],
        optical: bool,
    ) -> NDArray[np.float32]:
        """(points, fields) float32 records of every pixel, gated or not."""
        rays, origin = self._camera_rays(camera, optical)
        with np.errstate(invalid="ignore", over="ignore"):
            xyz = rays * depth.reshape(-1)
            xyz += origin[:, None]
        color = (_packed_color(rgb),) if self.settings.color else ()
        # Interleaved by OpenCV: two thirds of the time of writing columns of an array one by one.
        block = cv2.merge([*xyz, *color, np.ascontiguousarray(sigma).reshape(-1)])
        return block.reshape(-1, len(self._fields))  # type: ignore[return-value]

    def _camera_rays(self, camera: Camera, optical: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        key = (camera.name, optical)
        if key not in self._rays or self._rays[key][0] is not camera:
            pose = np.eye(4) if optical else camera.T_base_camera
            self._rays[key] = (camera, *ray_table(camera, pose, self.settings.stride))
        return self._rays[key][1:]

    def _resize_fused(self, count: int) -> None:
        """Make the buffer hold exactly `count` points; it keeps its memory when it shrinks a little."""
        size = 4 * len(self._fields) * count
        try:
            if size < len(self._fused):
                del self._fused[size:]
            else:
                self._fused.frombytes(bytes(size - len(self._fused)))
        except BufferError:  # somebody still looks at the last cloud
            self._fused = array("B", bytes(size))


def ray_table(camera: Camera, pose: Matrix, stride: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rays (3, points) and origin (3,), float32: a pixel of depth d is the point origin + d * ray.

    camera: without distortion. pose: (4, 4) from its optical frame to the frame of the points. Row-major pixels.
    """
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; rays are those of a rectified camera")
    v, u = np.mgrid[0 : camera.height : stride, 0 : camera.width : stride].astype(np.float64)
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    rays = pose[:3, :3] @ np.linalg.solve(camera.K, pixels)
    return rays.astype(np.float32), pose[:3, 3].astype(np.float32)


def first_per_voxel(xyz: NDArray[np.float32], size: float) -> NDArray[np.int64]:
    """Indices of the first point (N, 3) in every cube of edge `size` metres, cubes sorted by x, y, z.

    One sort of integers that hold cube and index together: several times faster than numpy.unique with indices.
    """
    if not len(xyz):
        return np.zeros(0, np.int64)
    cells = [np.floor(xyz[:, axis] * np.float32(1 / size)).astype(np.int64) for axis in range(3)]
    lows = [int(cell.min()) for cell in cells]
    extent = [int(cell.max()) - low + 1 for cell, low in zip(cells, lows, strict=True)]
    index_bits = len(xyz).bit_length()
    if math.prod(extent) << index_bits >= 2**63:
        raise FsmdeError(f"cloud voxel_size {size} m is too small for a cloud of {extent} voxels; raise it")
    key = cells[0] - lows[0]
    for axis in (1, 2):
        key *= extent[axis]
        key += cells[axis] - lows[axis]
    key <<= index_bits
    key |= np.arange(len(xyz))
    key.sort()
    cube = key >> index_bits
    starts = np.concatenate([[True], cube[1:] != cube[:-1]])
    return key[starts] & ((1 << index_bits) - 1)


def _packed_color(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB as (H * W,) float32 whose bits are 0x00RRGGBB."""
    bgr0 = np.zeros((*rgb.shape[:2], 4), np.uint8)
    cv2.mixChannels([rgb], [bgr0], [0, 2, 1, 1, 2, 0])
    return bgr0.view(np.float32).reshape(-1)


def _as_items(records: NDArray[np.float32]) -> NDArray[np.void]:
    """(N, fields) records as (N,) opaque items, which numpy moves whole."""
    return records.view(f"V{records.itemsize * records.shape[1]}").reshape(-1)
