"""Reads ROS messages by their attributes alone: those of rclpy and of rosbags alike, and imports neither."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import EncodedImage, RawImage
from fsmde_core.rig.geometry import Matrix, rigid, rotation_from_quaternion
from fsmde_core.rig.rig import Camera


def raw_image(msg: Any) -> RawImage:
    """Wrap a sensor_msgs/Image, whose data the RawImage shares."""
    size = int(msg.width), int(msg.height), int(msg.step)
    return RawImage(msg.data, msg.encoding, *size, bool(msg.is_bigendian))


def compressed_image(msg: Any) -> RawImage:
    """Decode a sensor_msgs/CompressedImage."""
    return encoded_image(msg).decode()


def encoded_image(msg: Any) -> EncodedImage:
    """Wrap a sensor_msgs/CompressedImage, whose data the EncodedImage shares."""
    return EncodedImage(msg.data, msg.format)


def stamp_ns(stamp: Any) -> int:
    """Convert a builtin_interfaces/Time to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def checked_stamp(stamp_ns: int, what: str = "image", expected: str = "the time of exposure") -> int:
    """Check a header's stamp.

    Args:
        stamp_ns: The stamp, nanoseconds.
        what, expected: What has the stamp, and what it is the time of.

    Returns:
        The stamp.

    Raises:
        FsmdeError: It was never set.
    """
    if stamp_ns <= 0:
        raise FsmdeError(f"the {what}'s stamp is {stamp_ns} ns, expected {expected}; set it in the driver")
    return stamp_ns


def pose_from_transform(msg: Any) -> Matrix:
    """Convert a geometry_msgs/Transform to a (4, 4) pose; raises FsmdeError where it is no rotation and translation."""
    q, t = msg.rotation, msg.translation
    with np.errstate(over="ignore"):  # of a damaged message, which is refused
        T = rigid(rotation_from_quaternion(q.w, q.x, q.y, q.z), (t.x, t.y, t.z))
    if not np.isfinite(T).all():
        raise FsmdeError(f"a translation must be finite, not {[t.x, t.y, t.z]}")
    return T


def camera_from_info(info: Any, name: str, T_base_camera: Matrix | None = None, is_rectified: bool = False) -> Camera:
    """Convert a sensor_msgs/CameraInfo to a camera at the size of the images beside it.

    `k` holds for the full, unbinned sensor; the images are its region of interest, then binned (REP-104).

    Args:
        info: The message.
        name: Of the camera.
        T_base_camera: (4, 4) mount, the identity where it is not known.
        is_rectified: The images are those of image_proc, without distortion: `p` holds for them, turned by `r`.

    Returns:
        The camera, with the frame of the message's header.

    Raises:
        FsmdeError: The intrinsics are missing, the distortion model is unknown or its coefficients are wrong.
    """
    K = _entries(info, name, "p", (3, 4))[:, :3] if is_rectified else _entries(info, name, "k", (3, 3))
    if not K.any():
        raise FsmdeError(
            f"camera '{name}': camera_info holds no intrinsics ({'p' if is_rectified else 'k'} is all zero); "
            "calibrate the camera"
        )
    binning = np.array([max(int(info.binning_x), 1), max(int(info.binning_y), 1)])
    offset = np.array([info.roi.x_offset, info.roi.y_offset])
    size = np.array([info.roi.width or info.width, info.roi.height or info.height]) // binning
    K[:2, 2] -= offset
    K[:2] /= binning[:, None]
    K[:2, 2] += 0.5 / binning - 0.5  # pixel centres are at integer coordinates
    mount = np.eye(4) if T_base_camera is None else T_base_camera
    if is_rectified and (turn := _entries(info, name, "r", (3, 3))).any():
        mount = mount @ rigid(turn.T, (0, 0, 0))
    camera = Camera(
        name=name,
        width=int(size[0]),
        height=int(size[1]),
        K=K,
        T_base_camera=mount,
        distortion_model="plumb_bob" if is_rectified else info.distortion_model,
        D=np.zeros(0) if is_rectified else np.array(info.d, dtype=np.float64),
        frame_id=info.header.frame_id,
    )
    _check_intrinsics(camera)
    return camera


def _check_intrinsics(camera: Camera) -> None:
    """Check that focal lengths are those of a lens, in pixels: raises FsmdeError for millimetres or metres."""
    shortest, longest = 0.02 * min(camera.width, camera.height), 100.0 * max(camera.width, camera.height)
    focal = camera.K[0, 0], camera.K[1, 1]
    center = np.abs(camera.K[:2, 2])
    if not all(shortest <= length <= longest for length in focal) or center.max() > longest:
        raise FsmdeError(
            f"camera '{camera.name}': K is {camera.K.ravel().tolist()}, which no lens has at "
            f"{camera.width}x{camera.height} pixels; K must be in pixels of this size"
        )


def _entries(info: Any, name: str, key: str, shape: tuple[int, int]) -> Matrix:
    values = np.array(getattr(info, key), dtype=np.float64)
    if values.size != shape[0] * shape[1]:
        raise FsmdeError(
            f"camera '{name}': camera_info's {key} has {values.size} values, expected {shape[0] * shape[1]}"
        )
    return values.reshape(shape)
