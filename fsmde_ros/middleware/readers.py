"""CvBridge and read_points, for whoever reads what the node publishes; the node itself has code of its own.

The real ones where a ROS distribution brings them, else stand-ins with the same names, arguments and results, as far as
the encodings and clouds of this project need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField

_IMAGE_TYPES = {
    "mono8": ("u1", 1),
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
}


class StandInCvBridge:
    """cv_bridge.CvBridge for the encodings of this project's images, without conversion between encodings."""

    def imgmsg_to_cv2(self, img_msg: Image) -> NDArray[Any]:
        """(H, W) or (H, W, 3) pixels of the message's encoding, contiguous, in the machine's byte order."""
        letter, channels = _IMAGE_TYPES[img_msg.encoding]
        dtype = np.dtype((">" if img_msg.is_bigendian else "<") + letter)
        shape = (img_msg.height, img_msg.width, channels)
        strides = (img_msg.step, channels * dtype.itemsize, dtype.itemsize)
        pixels = np.ndarray(shape, dtype, memoryview(img_msg.data), strides=strides).astype(dtype.newbyteorder("="))
        return pixels[..., 0] if channels == 1 else pixels


_POINT_TYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}


def stand_in_read_points(cloud: PointCloud2) -> NDArray[Any]:
    """sensor_msgs_py.point_cloud2.read_points: a structured array with one named entry per field, (height * width,)."""
    order = ">" if cloud.is_bigendian else "<"
    layout = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [order + _POINT_TYPES[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.ndarray((cloud.width * cloud.height,), layout, memoryview(cloud.data))


if TYPE_CHECKING:
    CvBridge = StandInCvBridge
    read_points = stand_in_read_points
else:
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError):  # AttributeError: its binary module was built against another NumPy
        CvBridge = StandInCvBridge
    try:
        from sensor_msgs_py.point_cloud2 import read_points
    except ImportError:
        read_points = stand_in_read_points


def depth_metres(message: Image) -> NDArray[np.float32]:
    """(H, W) float32 metres of a depth image in either encoding of REP-118, NaN where it is invalid."""
    depth = CvBridge().imgmsg_to_cv2(message)
    if message.encoding == "16UC1":
        return np.where(depth > 0, depth * np.float32(1e-3), np.float32("nan"))
    return np.asarray(depth)
