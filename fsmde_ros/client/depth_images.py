"""Reads the images that the node publishes, with cv_bridge where a ROS distribution brings it.

Else a stand-in with the same names, arguments and results serves, as far as the encodings of this project need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

_IMAGE_TYPES = {
    "mono8": ("u1", 1),
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
}


class StandInCvBridge:
    """Stands in for cv_bridge.CvBridge, for the encodings of this project's images and without converting them."""

    def imgmsg_to_cv2(self, img_msg: Image) -> NDArray[Any]:
        """Return (H, W) or (H, W, 3) pixels of the message's encoding, contiguous, in the machine's byte order."""
        letter, channels = _IMAGE_TYPES[img_msg.encoding]
        dtype = np.dtype((">" if img_msg.is_bigendian else "<") + letter)
        shape = (img_msg.height, img_msg.width, channels)
        strides = (img_msg.step, channels * dtype.itemsize, dtype.itemsize)
        pixels = np.ndarray(shape, dtype, memoryview(img_msg.data), strides=strides).astype(dtype.newbyteorder("="))
        return pixels[..., 0] if channels == 1 else pixels


if TYPE_CHECKING:
    CvBridge = StandInCvBridge
else:
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError):  # AttributeError: its binary module was built against another NumPy
        CvBridge = StandInCvBridge


def depth_metres(message: Image) -> NDArray[np.float32]:
    """Return (H, W) float32 metres of a depth image in either encoding of REP-118, NaN where it is invalid."""
    depth = CvBridge().imgmsg_to_cv2(message)
    if message.encoding == "16UC1":
        return np.where(depth > 0, depth * np.float32(1e-3), np.float32("nan"))
    return np.asarray(depth)
