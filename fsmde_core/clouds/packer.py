"""Packs depth images into point clouds, straight into the bytes that are published."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds import loops
from fsmde_core.clouds.loops import Bytes, Doubles, Floats, Ints
from fsmde_core.errors import FsmdeError
from fsmde_core.messages.point_cloud import COLOR_FIELDS, PLAIN_FIELDS, point_step
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Camera


@dataclass(frozen=True)
class CloudSettings:
    """Defines which depths become points.

    min_range, max_range: metres of depth along the optical axis, as in the depth image. max_relative_sigma: largest
    sigma / depth; it removes sky and edges. stride: every n-th pixel in both directions. voxel_size: metres, one
    point per cube of that edge; 0 keeps all. color: whether points have the packed `rgb` field.
    """

    min_range: float = 0.5
    max_range: float = 80.0
    max_relative_sigma: float = 0.3
    stride: int = 1
    voxel_size: float = 0.0
    color: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_range < self.max_range < math.inf:
            ranges = f"{self.min_range} and {self.max_range} m"
            raise FsmdeError(f"cloud ranges are {ranges}, expected 0 <= min_range < max_range < infinity")
        if not 0 < self.max_relative_sigma < math.inf:
            raise FsmdeError(f"cloud max_relative_sigma is {self.max_relative_sigma}, expected a finite number above 0")
        if self.stride < 1:
            raise FsmdeError(f"cloud stride is {self.stride}, expected a whole number of pixels from 1")
        if not 0 <= self.voxel_size < math.inf:
            raise FsmdeError(f"cloud voxel_size is {self.voxel_size}, expected metres from 0 (off)")


@dataclass(frozen=True, eq=False)
class PackedCloud:
    """Holds the body of a little-endian sensor_msgs/PointCloud2 whose fields are float32, four bytes apart.

    data: height * width points of point_step bytes; an array.array, which rclpy accepts without checking every byte.
    is_dense: every point is finite.
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
        return point_step(self.fields)

    def records(self) -> Floats:
        """View the data as (count, fields) float32."""
        return np.frombuffer(self.data, np.float32).reshape(-1, len(self.fields))


class CloudPacker:
    """Packs batches of depth images; one thread at a time may call it."""

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self._fields = COLOR_FIELDS if settings.color else PLAIN_FIELDS
        self._fused = array("B")
        self._table = np.zeros(0, np.int64)

    def pack(self, cameras: Sequence[Camera], rgb: Bytes, depth: Floats, sigma: Floats) -> PackedCloud:
        """Pack one fused cloud of all cameras in the base frame, in the order of the cameras.

        Depths that are not finite or fail a gate are left out; with voxels the first point of each stays.

        Args:
            cameras: N distortion-free cameras at H x W.
            rgb: (N, H, W, 3) uint8.
            depth, sigma: (N, H, W) float32 metres.

        Returns:
            The cloud; its data are the packer's own buffer, valid until its next `pack`.

        Raises:
            FsmdeError: The voxels are too small for the farthest point.
        """
        depth, sigma, rgb = self._rows(rgb, depth, sigma)
        keep, counts = self._gate(depth, sigma)
        count = int(counts.sum())
        self._fused = resize_bytes(self._fused, point_step(self._fields) * count)
        geometry = pinhole_geometry(tuple(cameras), self.settings.stride)
        write = loops.write_points[len(self._fields)]
        # The view must end with the call: kept any longer, it would keep the array from changing its length.
        write(depth, sigma, rgb, keep, *geometry, counts, np.frombuffer(self._fused, np.float32))
        if self.settings.voxel_size:
            count = self._voxel_filter()
            self._fused = resize_bytes(self._fused, point_step(self._fields) * count)
        return PackedCloud(self._fused, 1, count, self._fields, is_dense=True)

    def pack_organised(self, camera: Camera, rgb: Bytes, depth: Floats, sigma: Floats) -> PackedCloud:
        """Pack the cloud of one camera as an image of points in its optical frame; no voxels.

        Args:
            camera: Distortion-free, at H x W.
            rgb: (H, W, 3) uint8.
            depth, sigma: (H, W) float32 metres.

        Returns:
            The cloud, NaN where a gate fails, with data of its own.
        """
        depth, sigma, rgb = self._rows(rgb[None], depth[None], sigma[None])
        keep, counts = self._gate(depth, sigma)
        height, width = keep.shape
        data = array("B", [0]) * (point_step(self._fields) * keep.size)
        rays, origin = _unprojection(camera, self.settings.stride)[None], np.zeros((1, 3))
        write = loops.write_image[len(self._fields)]
        write(depth, sigma, rgb, keep, rays, origin, counts, np.frombuffer(data, np.float32))
        return PackedCloud(data, height, width, self._fields, is_dense=False)

    def keep(self, depth: Floats, sigma: Floats) -> NDArray[np.bool_]:
        """Tell which depths pass all gates; stride and voxels do not matter.

        Args:
            depth, sigma: Metres, of any equal shape.

        Returns:
            bool of that shape; False where depth is not finite.
        """
        keep, _ = self._gate(*(np.require(values.reshape(1, -1), np.float32, ["C", "A"]) for values in (depth, sigma)))
        return keep.view(np.bool_).reshape(depth.shape)

    def _rows(self, rgb: Bytes, depth: Floats, sigma: Floats) -> tuple[Floats, Floats, Bytes]:
        """Put the rows of all images one below the other, as the stride leaves them: (R, W), (R, W), (R, 3 * W)."""
        step = self.settings.stride
        depth, sigma = (np.ascontiguousarray(values[:, ::step, ::step]) for values in (depth, sigma))
        width = depth.shape[2]
        rgb = np.ascontiguousarray(rgb[:, ::step, ::step])
        return depth.reshape(-1, width), sigma.reshape(-1, width), rgb.reshape(-1, 3 * width)

    def _gate(self, depth: Floats, sigma: Floats) -> tuple[Bytes, Ints]:
        """Make (R, W) `keep`, 1 where all gates hold, and (R,) counts of those in each row."""
        limits = self.settings
        bounds = np.array([limits.min_range, limits.max_range, limits.max_relative_sigma], np.float32)
        keep, counts = np.empty(depth.shape, np.uint8), np.empty(len(depth), np.int64)
        loops.gate(depth, sigma, bounds, keep, counts)
        return keep, counts

    def _voxel_filter(self) -> int:
        """Move the first point of every voxel to the front of the buffer, and count them."""
        records = np.frombuffer(self._fused, np.float32).reshape(-1, len(self._fields))
        size = 2 << len(records).bit_length()
        if len(self._table) < size:
            self._table = np.empty(size, np.int64)
        count = loops.keep_first_per_voxel(1 / self.settings.voxel_size, self._table[:size], records)
        if count < 0:
            raise voxel_size_error(self.settings.voxel_size, float(np.abs(records[:, :3]).max()))
        return count


def voxel_size_error(voxel_size: float, farthest: float) -> FsmdeError:
    return FsmdeError(
        f"cloud voxel_size is {voxel_size} m, too small for points up to {farthest:.0f} m away; "
        f"expected at least {farthest / loops.MOST_CELLS:.2g} m"
    )


def resize_bytes(data: array[int], size: int) -> array[int]:
    # In its memory where it shrinks or grows a little; a new array where somebody still has a view of the old one.
    try:
        if size < len(data):
            del data[size:]
        else:
            data.frombytes(bytes(size - len(data)))
    except BufferError:
        return array("B", bytes(size))
    return data


@lru_cache(maxsize=16)
def pinhole_geometry(cameras: tuple[Camera, ...], stride: int) -> tuple[Doubles, Doubles]:
    """Compute how pixels become points of the base frame: (u, v) of depth d is origin + d * rays @ (u, v, 1).

    Results are cached, as cameras stay the same objects from set to set.

    Args:
        cameras: N distortion-free cameras.
        stride: u and v count the pixels that it leaves.

    Returns:
        (N, 3, 3) rays and (N, 3) origins, only to be read.
    """
    rays = [camera.T_base_camera[:3, :3] @ _unprojection(camera, stride) for camera in cameras]
    return np.stack(rays), np.stack([camera.T_base_camera[:3, 3] for camera in cameras])


def _unprojection(camera: Camera, stride: int = 1) -> Doubles:
    """Compute the (3, 3) matrix from (u, v, 1) to the point at depth 1 in the optical frame."""
    if camera.is_distorted:
        raise FsmdeError(f"camera '{camera.name}' is distorted; use camera.rectified(width, height)")
    return np.asarray(np.linalg.inv(camera.K) @ np.diag([stride, stride, 1.0]), np.float64)


def ray_table(camera: Camera, pose: Matrix) -> tuple[Floats, Floats]:
    """Compute how the pixels of a camera become points: one of depth d is origin + d * ray.

    Args:
        camera: Without distortion.
        pose: (4, 4) from its optical frame to the frame of the points.

    Returns:
        (3, H * W) float32 rays of the pixels, row by row, and the (3,) float32 origin.
    """
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    rays = pose[:3, :3] @ _unprojection(camera) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    return rays.astype(np.float32), pose[:3, 3].astype(np.float32)
