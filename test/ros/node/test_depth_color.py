"""Depth for people: the colours, and the node's topics that carry them."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from fsmde_core.images.colormap import NO_VALUE_RGB, depth_rgb, sigma_rgb
from fsmde_core.views.matplotlib import depth_colors
from fsmde_ros.client.depth_images import CvBridge
from fsmde_ros.node import outputs
from support.ros_harness import FX, NAMES, WIDTH, Stage
from support.tiny_model import WIDTH as NET_WIDTH

STAMP = 1_700_000_000_000_000_000
GREYS = {name: 9 + 10 * index for index, name in enumerate(NAMES)}


def picture_color(depth: float) -> np.ndarray:
    """What matplotlib draws for a depth on the demo's sheet."""
    colors, norm = depth_colors()
    return np.rint(255 * np.array(colors(norm(np.array([depth])))[0][:3]))


def expected_depth(grey: int) -> float:
    """The tiny model by hand: (1 + grey) * fx at the network's size / 100."""
    return (1 + grey) * FX * NET_WIDTH / WIDTH / 100


@pytest.mark.parametrize("depth", [0.3, 1.99, 2.5, 7.0, 12.6, 33.0, 79.0, 80.5, 1e4, np.inf])
def test_depth_has_the_colours_of_the_pictures(depth: float) -> None:
    color = depth_rgb(np.array([[depth]], np.float32))[0, 0]
    assert np.abs(color - picture_color(depth)).max() <= 2


def test_near_is_warm_far_is_cold_nothing_is_grey() -> None:
    near, far, *nothing = depth_rgb(np.array([3.0, 60.0, np.nan, 0.0, -1.0], np.float32)).astype(int)
    assert near[0] > near[2] + 100
    assert far[2] > far[0]
    assert all(tuple(color) == NO_VALUE_RGB for color in nothing)


def test_sure_is_cold_unsure_is_warm() -> None:
    sure, unsure, nothing = sigma_rgb(np.array([0.2, 7.0, np.nan], np.float32)).astype(int)
    assert sure[2] > sure[0]
    assert unsure[0] > unsure[2] + 100
    assert tuple(nothing) == NO_VALUE_RGB


def test_pictures_of_depth_are_published_on_request(stage: Stage) -> None:
    stage.node(publish__depth_color=True)
    received = stage.client.received
    for name in NAMES:
        stage.client.listen(Image, f"{name}/depth/color")
    stage.client.listen(Image, "front/depth/image")
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: received["front/depth/image"])
    assert stage.spin_until(lambda: all(received[f"{name}/depth/color"] for name in NAMES))
    assert received["front/depth/color"][0].header == received["front/depth/image"][0].header
    for name in NAMES:
        message = received[f"{name}/depth/color"][0]
        assert (message.encoding, message.step) == ("rgb8", 3 * NET_WIDTH)
        pixels = CvBridge().imgmsg_to_cv2(message).reshape(-1, 3)
        assert np.abs(pixels - picture_color(expected_depth(GREYS[name]))).max() <= 2


def test_pictures_of_depth_are_off_by_default_and_can_be_switched_on(stage: Stage) -> None:
    node = stage.node()
    stage.client.listen(Image, "back/depth/color")
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: _unheard(stage) == "1")
    assert not stage.client.received["back/depth/color"]
    assert node.set_parameters([Parameter("publish.depth_color", value=True)])[0].successful
    stage.client.send_set(GREYS, STAMP + 10**8)
    assert stage.spin_until(lambda: stage.client.received["back/depth/color"])


def test_only_pictures_that_somebody_watches_are_drawn(stage: Stage) -> None:
    stage.node(publish__depth_color=True)
    stage.client.listen(Image, "front/depth/color")
    stage.client.listen(Image, "front/depth/image")
    with patch.object(outputs, "depth_rgb", wraps=depth_rgb) as drawn:
        stage.client.send_set(GREYS, STAMP)
        assert stage.spin_until(lambda: stage.client.received["front/depth/color"])
    assert drawn.call_count == 1


def _unheard(stage: Stage) -> str | None:
    status = stage.client.diagnosis("output")
    return next((entry.value for entry in status.values if entry.key == "sets_unheard"), None) if status else None
