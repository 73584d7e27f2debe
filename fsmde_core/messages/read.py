"""Reads ROS messages by their attributes alone: those of rclpy and of rosbags alike, and imports neither."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import EncodedImage, RawImage
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.rig import Camera


def raw_image(msg: Any) -> RawImage:
    """Wrap a sensor_msgs/Image, whose data the RawImage shares."""
    size = int(msg.width), int(msg.height), int(msg.step)
    return RawImage(msg.data, msg.encoding, *size, bool(msg.is_bigendian))


def compressed_image(msg: Any) -> RawImage:
    """Decode a sensor_msgs/CompressedImage."""
    return EncodedImage(msg.data, msg.format).decode()


def stamp_ns(stamp: Any) -> int:
    """Convert a builtin_interfaces/Time to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def camera_from_info(info: Any, name: str, T_base_camera: Matrix | None = None) -> Camera:
    """Convert a sensor_msgs/CameraInfo to a camera at the size of the images beside it.

    `k` holds for the full, unbinned sensor; the images are its region of interest, then binned (REP-104).

    Args:
        info: The message.
        name: Of the camera.
        T_base_camera: (4, 4) mount, the identity where it is not known.

    Returns:
        The camera, with the frame of the message's header.

    Raises:
        FsmdeError: The intrinsics are missing, the distortion model is unknown or its coefficients are wrong.
    """
    K = np.array(info.k, dtype=np.float64).reshape(3, 3)
    if not K.any():
        raise FsmdeError(f"camera '{name}': camera_info holds no intrinsics (k is all zero); calibrate the camera")
    binning = np.array([max(int(info.binning_x), 1), max(int(info.binning_y), 1)])
    offset = np.array([info.roi.x_offset, info.roi.y_offset])
    size = np.array([info.roi.width or info.width, info.roi.height or info.height]) // binning
    K[:2, 2] -= offset
    K[:2] /= binning[:, None]
    K[:2, 2] += 0.5 / binning - 0.5  # pixel centres are at integer coordinates
    return Camera(
        name=name,
        width=int(size[0]),
        height=int(size[1]),
        K=K,
        T_base_camera=np.eye(4) if T_base_camera is None else T_base_camera,
        distortion_model=info.distortion_model,
        D=np.array(info.d, dtype=np.float64),
        frame_id=info.header.frame_id,
    )
