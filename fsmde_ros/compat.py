"""The one place for what a ROS distribution brings and wheels do not: the real thing where it imports, else a stand-in.

The stand-ins have the names, arguments and results of the real ones, as far as this project uses them: SimpleFilter is
the base of the node's input, CvBridge and read_points read what it publishes (hot paths have code of their own).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField


class StandInSimpleFilter:
    """message_filters.SimpleFilter: passes what it is given on to every registered callback."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(*message, *args)` for every message; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


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
    SimpleFilter = StandInSimpleFilter
    read_points = stand_in_read_points
else:
    try:
        from message_filters import SimpleFilter
    except ImportError:
        SimpleFilter = StandInSimpleFilter
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError):  # AttributeError: its binary module was built against another NumPy
        CvBridge = StandInCvBridge
    try:
        from sensor_msgs_py.point_cloud2 import read_points
    except ImportError:
        read_points = stand_in_read_points
