"""Images and camera_info that cannot be used, over real DDS: each costs itself, and is explained."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from fsmde_ros.client.depth_images import CvBridge
from support.ros_harness import (
    HEIGHT,
    NAMES,
    PATIENCE_S,
    PERIOD,
    STAMP,
    WIDTH,
    Stage,
    camera_info,
    constant_rgb,
    image_message,
)

FIVE = {name: 9 for name in NAMES if name != "front"}
ALL = dict.fromkeys(NAMES, 9)


def good_image(stamp_ns: int) -> Image:
    return image_message(constant_rgb(9), "rgb8", stamp_ns)


def _with(change: Callable[[Image], object]) -> Callable[[int], Image]:
    def build(stamp_ns: int) -> Image:
        message = good_image(stamp_ns)
        change(message)
        return message

    return build


BAD_IMAGES = {
    "unknown encoding": (_with(lambda m: setattr(m, "encoding", "h264")), "'h264' is not supported"),
    "truncated": (_with(lambda m: setattr(m, "data", m.data[:-1])), "truncated"),
    "no data": (_with(lambda m: setattr(m, "data", b"")), "truncated"),
    "no pixels": (_with(lambda m: (setattr(m, "width", 0), setattr(m, "height", 0))), "no pixels"),
    "short step": (_with(lambda m: setattr(m, "step", 3 * WIDTH - 1)), "step"),
    "wrong size": (lambda s: image_message(np.zeros((48, 80, 3), np.uint8), "rgb8", s), "calibration is for"),
    "stamp zero": (lambda s: good_image(0), "stamp is 0 ns"),
    "negative stamp": (lambda s: good_image(-s), "stamp is -"),
    "odd width in YUV": (lambda s: image_message(np.zeros((HEIGHT, 159, 2), np.uint8), "yuv422", s), "even"),
}


@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_a_bad_image_costs_one_image(stage: Stage, fault: str) -> None:
    """The other cameras' depth of that moment comes, and so does everything of the next."""
    build, reason = BAD_IMAGES[fault]
    stage.node()
    stage.client.listen_to_all()
    stage.client.publish("front/image_raw", build(STAMP))
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    assert stage.client.depth_images("front") == 0
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: stage.client.depth_images("front") == 1, PATIENCE_S)
    assert stage.spin_until(lambda: reason in stage.client.values_of("camera front").get("last_fault", ""), PATIENCE_S)
    assert stage.client.values_of("camera front")["bad_image"] == "1"
    assert "bad_image" not in stage.client.values_of("camera back")


@pytest.mark.parametrize("data", [b"", b"not a picture", cv2.imencode(".jpg", constant_rgb(9))[1].tobytes()[:200]])
def test_bad_compressed_image(stage: Stage, data: bytes) -> None:
    stage.node(image_transport="compressed")
    stage.client.listen_to_all()
    jpeg = cv2.imencode(".jpg", constant_rgb(9))[1].tobytes()
    for name in NAMES:
        stage.client.send_jpeg(name, data if name == "front" else jpeg, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    assert stage.client.depth_images("front") == 0
    assert stage.spin_until(lambda: stage.client.values_of("camera front").get("bad_image") == "1", PATIENCE_S)


def test_camera_info_takes_over_and_broken_ones_do_not(stage: Stage) -> None:
    """Twice the focal length doubles the tiny model's depth; bad intrinsics afterwards change nothing."""
    stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images("front") == 1)
    good = camera_info()
    good.k[0] *= 2
    stage.client.publish("front/camera_info", good)
    assert stage.spin_until(stage.client.heeds_camera_info, PATIENCE_S)
    missing, unknown, infinite = camera_info(), camera_info(), camera_info()
    missing.k = np.zeros(9)
    unknown.distortion_model = "swirl"
    infinite.k[0] = float("nan")
    for info in (missing, unknown, infinite):
        stage.client.publish("front/camera_info", info)
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: stage.client.depth_images("front") == 2)
    before, after = (CvBridge().imgmsg_to_cv2(m).mean() for m in stage.client.received["front/depth/image"])
    assert after == pytest.approx(2 * before, rel=1e-4)
    assert stage.spin_until(lambda: stage.client.values_of("camera front").get("bad_camera_info") == "3", PATIENCE_S)
    assert stage.client.received["front/depth/image"][1].header.frame_id == "front_optical"


def test_a_refused_camera_info_stays_visible_until_a_good_one_comes(stage: Stage) -> None:
    """Sent once, as by a latched publisher: the rig's intrinsics do not stay in force silently."""
    stage.node()
    unknown = camera_info()
    unknown.distortion_model = "swirl"
    stage.client.publish("front/camera_info", unknown)
    assert stage.spin_until(lambda: stage.client.values_of("camera front").get("bad_camera_info") == "1", PATIENCE_S)
    stamps = itertools.count(STAMP, PERIOD)

    def shown() -> str:
        stage.client.send_set(ALL, next(stamps))
        stage.spin_for(0.1)
        status = stage.client.diagnosis("camera front")
        return status.message if status else ""

    said = r"camera 'front': distortion model 'swirl' is not in .*the intrinsics of the rig file stay in force"
    # "1 bad messages: ..." in the report after it came, the reason itself in those that follow
    assert any(re.match(said, shown()) for _ in range(80))
    stage.client.publish("front/camera_info", camera_info())
    assert any("swirl" not in shown() for _ in range(80))


def test_a_lens_that_turns_back_is_warned_of_and_has_no_depth_beyond(stage: Stage) -> None:
    stage.node()
    stage.client.listen_to_all()
    folding = camera_info()
    folding.d = [-1 / 3, 0.0, 0.0, 0.0, 0.0]  # at 45 degrees
    folding.k[0] = folding.k[4] = 50.0
    stage.client.publish("front/camera_info", folding)
    assert stage.spin_until(stage.client.heeds_camera_info, PATIENCE_S)
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: stage.client.received["front/depth/camera_info"], PATIENCE_S)
    assert stage.spin_until(lambda: stage.client.depth_images("front") == 1, PATIENCE_S)
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])
    height, width = depth.shape
    K = stage.client.received["front/depth/camera_info"][0].k.reshape(3, 3)
    rows, columns = np.mgrid[0:height, 0:width]
    r = np.hypot((columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1])
    assert (r >= 1).any() and np.isnan(depth[r >= 1]).all() and np.isfinite(depth[r < 0.8]).all()

    def warned() -> bool:
        status = stage.client.diagnosis("camera front")
        return status is not None and "lens turns back at 45.0 degrees" in status.message and status.level == b"\x01"

    assert stage.spin_until(warned, PATIENCE_S)
