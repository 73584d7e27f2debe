"""Readers of ROS messages by their attributes alone: rclpy and rosbags messages alike, and no import of either."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage, decode_compressed
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Camera

# sensor_msgs/PointField datatype numbers of the types that hold coordinates
_FLOAT_TYPES = {7: "f4", 8: "f8"}


def raw_image(msg: Any) -> RawImage:
    """sensor_msgs/Image as a RawImage that shares the message's data."""
    return RawImage(msg.data, msg.encoding, int(msg.width), int(msg.height), int(msg.step))


def compressed_image(msg: Any) -> RawImage:
    """sensor_msgs/CompressedImage, decoded."""
    return decode_compressed(msg.data, msg.format)


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def camera_from_info(info: Any, name: str, T_base_camera: Matrix | None = None) -> Camera:
    """sensor_msgs/CameraInfo as a Camera at the size of the images beside it.

    `k` holds for the full, unbinned sensor; the images are its region of interest, then binned (REP-104).
    An empty distortion model without coefficients, as simulators send it, is a pinhole.
    Raises FsmdeError for missing intrinsics, an unknown distortion model or wrong coefficients.
    """
    K = np.array(info.k, dtype=np.float64).reshape(3, 3)
    D = np.array(info.d, dtype=np.float64)
    if not K.any():
        raise FsmdeError(f"camera '{name}': camera_info holds no intrinsics (k is all zero); calibrate the camera")
    binning = np.array([max(int(info.binning_x), 1), max(int(info.binning_y), 1)])
    offset = np.array([info.roi.x_offset, info.roi.y_offset])
    size = np.array([info.roi.width or info.width, info.roi.height or info.height]) // binning
    K[:2, 2] -= offset
    K[:2] /= binning[:, None]
    K[:2, 2] += 0.5 / binning - 0.5  # pixel centres are at integer coordinates
    pinhole = not info.distortion_model and not D.any()
    return Camera(
        name=name,
        width=int(size[0]),
        height=int(size[1]),
        K=K,
        T_base_camera=np.eye(4) if T_base_camera is None else T_base_camera,
        distortion_model="plumb_bob" if pinhole else info.distortion_model,
        D=np.zeros(0) if pinhole else D,
        frame_id=info.header.frame_id,
    )


def cloud_xyz(msg: Any) -> NDArray[np.float32]:
    """sensor_msgs/PointCloud2 of any field layout, padding and byte order as (N, 3) float32 metres.

    Points that are not finite are left out. Raises FsmdeError without float x, y, z or when the data do not fit.
    """
    fields = {field.name: field for field in msg.fields}
    missing = [axis for axis in "xyz" if axis not in fields or fields[axis].datatype not in _FLOAT_TYPES]
    if missing:
        found = {name: field.datatype for name, field in fields.items()}
        raise FsmdeError(
            f"point cloud has no float field {missing}: its fields and their datatypes are {found}, "
            f"expected x, y and z of {list(_FLOAT_TYPES)}"
        )
    order = ">" if msg.is_bigendian else "<"
    width, height, point_step, row_step = (int(v) for v in (msg.width, msg.height, msg.point_step, msg.row_step))
    if height > 1 and row_step < width * point_step:
        raise FsmdeError(
            f"point cloud of {width}x{height} points: row_step is {row_step} bytes, "
            f"a row of points of {point_step} bytes needs {width * point_step}"
        )
    try:
        layout = np.dtype(
            {
                "names": list("xyz"),
                "formats": [order + _FLOAT_TYPES[fields[axis].datatype] for axis in "xyz"],
                "offsets": [int(fields[axis].offset) for axis in "xyz"],
                "itemsize": point_step,
            }
        )
        data = memoryview(msg.data).cast("B")
        points = np.ndarray((height, width), layout, data, strides=(row_step, point_step)).ravel()
    except (ValueError, TypeError) as error:
        raise FsmdeError(
            f"point cloud of {width}x{height} points, point_step {point_step}, row_step {row_step} "
            f"does not fit its {len(msg.data)} bytes: {error}"
        ) from error
    xyz = np.stack([points[axis] for axis in "xyz"], axis=-1).astype(np.float32)
    return xyz[np.isfinite(xyz).all(axis=1)]
