"""Encodings of images over real DDS: the depth is that of the same grey."""

from __future__ import annotations

import numpy as np
import pytest

from fsmde_ros.client.depth_images import CvBridge
from support.ros_harness import (
    HEIGHT,
    STAMP,
    WIDTH,
    Stage,
    expected_depth,
    image_message,
)


@pytest.mark.parametrize(
    ("encoding", "channels"),
    [
        ("bgr8", 3),
        ("rgba8", 4),
        ("bgra8", 4),
        ("mono8", 1),
        ("yuv422_yuy2", 2),
        ("yuv422", 2),
        ("bayer_rggb8", 1),
        ("bayer_gbrg8", 1),
    ],
)
def test_encodings(stage: Stage, encoding: str, channels: int) -> None:
    """Grey 126 is Y = 16 + 126 * 219 / 255 = 124.2 in studio range, and 126 in everything else."""
    stage.node(cameras=["front"])
    stage.client.listen_to_all(("front",))
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    pixels = np.full(shape, 126, np.uint8)
    if channels == 2:
        luma = 0 if encoding == "yuv422_yuy2" else 1
        pixels[..., luma], pixels[..., 1 - luma] = 124, 128
    stage.client.publish("front/image_raw", image_message(pixels, encoding, STAMP))
    assert stage.spin_until(lambda: stage.client.received["front/depth/image"])
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])
    np.testing.assert_allclose(depth, expected_depth(126), rtol=0.02)


GREY_126 = {
    "8UC1": np.full((HEIGHT, WIDTH), 126, np.uint8),
    "8UC3": np.full((HEIGHT, WIDTH, 3), 126, np.uint8),
    "8UC4": np.full((HEIGHT, WIDTH, 4), 126, np.uint8),
    "nv12": np.concatenate([np.full((HEIGHT, WIDTH), 124, np.uint8), np.full((HEIGHT // 2, WIDTH), 128, np.uint8)]),
    "nv21": np.concatenate([np.full((HEIGHT, WIDTH), 124, np.uint8), np.full((HEIGHT // 2, WIDTH), 128, np.uint8)]),
    "mono16": np.full((HEIGHT, WIDTH), 126 << 4, "<u2"),
    "rgb16": np.full((HEIGHT, WIDTH, 3), 126 * 257, "<u2"),
    "bayer_gbrg16": np.full((HEIGHT, WIDTH), 126 << 2, "<u2"),
}


@pytest.mark.parametrize("encoding", GREY_126)
def test_encodings_of_other_layouts(stage: Stage, encoding: str) -> None:
    """As above; of 16 bits, mono16 comes from a sensor of 12, the mosaic from one of 10."""
    stage.node(cameras=["front"])
    stage.client.listen_to_all(("front",))
    message = image_message(GREY_126[encoding], encoding, STAMP)
    message.height = HEIGHT
    stage.client.publish("front/image_raw", message)
    assert stage.spin_until(lambda: stage.client.received["front/depth/image"])
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])
    np.testing.assert_allclose(depth, expected_depth(126), rtol=0.02)


def test_a_big_endian_image(stage: Stage) -> None:
    stage.node(cameras=["front"])
    stage.client.listen_to_all(("front",))
    message = image_message(np.full((HEIGHT, WIDTH), 126 << 8, ">u2"), "mono16", STAMP)
    message.is_bigendian = 1
    stage.client.publish("front/image_raw", message)
    assert stage.spin_until(lambda: stage.client.received["front/depth/image"])
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])
    np.testing.assert_allclose(depth, expected_depth(126), rtol=1e-5)


def test_row_padding_is_left_out(stage: Stage) -> None:
    stage.node(cameras=["front"])
    stage.client.listen_to_all(("front",))
    padded = np.full((HEIGHT, WIDTH + 10, 3), 200, np.uint8)
    padded[:, :WIDTH] = 9
    message = image_message(padded, "rgb8", STAMP)
    message.width = WIDTH
    stage.client.publish("front/image_raw", message)
    assert stage.spin_until(lambda: stage.client.received["front/depth/image"])
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])
    np.testing.assert_allclose(depth, expected_depth(9), rtol=1e-5)
