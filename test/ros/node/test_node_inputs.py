"""Bad, late and missing input over real DDS: counted, explained, and never the end of the node."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from fsmde_ros.client.depth_images import CvBridge
from fsmde_ros.client.session import ros_node
from support.ros_harness import (
    DOMAIN,
    NAMES,
    PATIENCE_S,
    PERIOD,
    STAMP,
    Stage,
    camera_info,
)

FIVE = {name: 9 for name in NAMES if name != "front"}
ALL = dict.fromkeys(NAMES, 9)


def test_swapped_topics_are_swapped_once(stage: Stage) -> None:
    """Images come with the intrinsics of their own camera, and diagnostics name the topics that are heard."""
    stage.node(
        remaps={
            f"{camera}/{topic}": f"{other}/{topic}"
            for camera, other in (("front", "back"), ("back", "front"))
            for topic in ("image_raw", "camera_info")
        }
        | {"lidar/points": "lidar/top", "lidar/top": "lidar/points"},
        check__lidar_topic="lidar/points",
    )
    stage.client.listen_to_all()
    longer = camera_info("back")
    longer.k[0] *= 2
    stage.client.publish("back/camera_info", longer)
    assert stage.spin_until(stage.client.heeds_camera_info, PATIENCE_S)
    stage.client.send_set({**ALL, "front": 19, "back": 39}, STAMP)
    assert stage.spin_until(lambda: all(stage.client.depth_images(name) == 1 for name in NAMES), PATIENCE_S)
    front, back, left = (
        np.median(CvBridge().imgmsg_to_cv2(stage.client.received[f"{name}/depth/image"][0]))
        for name in ("front", "back", "back_left")
    )
    # The tiny model: depth grows with 1 + grey and with the focal length.
    assert (front, back) == pytest.approx((2 * 40 / 10 * left, 20 / 10 * left), rel=1e-3)
    assert stage.client.values_of("camera front")["topic"] == "/back/image_raw"
    assert stage.client.node.count_subscribers("/lidar/top") == 1
    assert stage.client.values_of("lidar")["topic"] == "/lidar/top"


def test_intrinsics_of_the_rig_alone(stage: Stage) -> None:
    stage.node(intrinsics_source="rig")
    stage.spin_for(0.3)
    assert stage.client.node.count_subscribers("/front/camera_info") == 0
    assert stage.client.node.count_subscribers("/front/image_raw") == 1


def test_a_camera_that_never_appears(stage: Stage) -> None:
    stage.node(sync__min_cameras=5)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    assert stage.spin_until(lambda: stage.client.values_of("camera front").get("missing") == "1", PATIENCE_S)
    status = stage.client.diagnosis("camera front")
    assert status is not None
    assert "no image on /front/image_raw yet: nobody publishes there" in status.message
    assert status.level == b"\x02"


@pytest.mark.parametrize(
    ("transport", "kind", "topic", "reason"),
    [
        (
            "raw", CompressedImage, "front/image_raw/compressed",
            "no image on /front/image_raw yet: nobody publishes there, but 1 on /front/image_raw/compressed; "
            "set the parameter image_transport to 'compressed'",
        ),
        (
            "compressed", Image, "front/image_raw",
            "no image on /front/image_raw/compressed yet: nobody publishes there, but 1 on /front/image_raw; "
            "set the parameter image_transport to 'raw'",
        ),
        (
            "raw", CompressedImage, "front/image_raw",
            "no image on /front/image_raw yet: its publishers send sensor_msgs/msg/CompressedImage, "
            "not sensor_msgs/msg/Image",
        ),
    ],
)  # fmt: skip
def test_a_camera_that_sends_images_of_the_other_kind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, transport: str, kind: type, topic: str, reason: str
) -> None:
    """The driver is a participant of its own: within one, DDS refuses a second type on a topic."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    with ros_node("driver") as driver:
        driver.create_publisher(kind, topic, 5)
        stage.node(image_transport=transport)
        heard = stage.spin_until(lambda: reason in stage.client.said_of("camera front"), PATIENCE_S)
        assert heard, stage.client.said_of("camera front")
        assert "nobody publishes there" in stage.client.said_of("camera back")
        assert "image_transport" not in stage.client.said_of("camera back")


def test_a_remapped_camera_that_sends_images_of_the_other_kind(stage: Stage) -> None:
    stage.client.node.create_publisher(CompressedImage, "/left_lens/color/compressed", 5)
    stage.node(remaps={"front/image_raw": "/left_lens/color"})
    reason = "no image on /left_lens/color yet: nobody publishes there, but 1 on /left_lens/color/compressed"
    assert stage.spin_until(lambda: reason in stage.client.said_of("camera front"), PATIENCE_S)


def test_too_few_cameras_give_nothing(stage: Stage) -> None:
    stage.node(sync__min_cameras=6)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: stage.client.values_of("output").get("sets_abandoned") == "1", PATIENCE_S)
    assert stage.client.depth_images() == 0


def test_a_camera_that_appears_late(stage: Stage) -> None:
    stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    stage.client.send_set(ALL, STAMP + 3 * PERIOD)
    assert stage.spin_until(lambda: stage.client.depth_images("front") == 1, PATIENCE_S)


def test_time_that_jumps_back(stage: Stage) -> None:
    """As when a bag starts again: at most the frame of the jump is lost."""
    stage.node()
    stage.client.listen_to_all()
    for index in range(3):
        stage.client.send_set(ALL, STAMP + index * PERIOD)
        assert stage.spin_until(lambda n=index: stage.client.depth_images() == n + 1, PATIENCE_S)
    hour = 3600 * 10**9
    for index in range(3):
        stage.client.send_set(ALL, STAMP - hour + index * PERIOD)
        stage.spin_for(0.15)
    assert stage.spin_until(lambda: stage.client.depth_images() >= 5, PATIENCE_S)
    assert stage.client.received["back/depth/image"][-1].header.stamp.sec == (STAMP - hour) // 10**9
    assert stage.spin_until(lambda: stage.client.values_of("output").get("time_jumps") == "1", PATIENCE_S)


def test_overload_drops_sets_and_keeps_the_newest(stage: Stage) -> None:
    """Inference that takes 0.3 s at 20 sets per second: few results, each of them of a recent set."""
    node = stage.node()
    assert node.loaded is not None
    infer = node.loaded.pipeline.engine.infer

    def slow(images: np.ndarray, focal: np.ndarray) -> object:
        time.sleep(0.3)
        return infer(images, focal)

    node.loaded.pipeline.engine.infer = slow  # type: ignore[method-assign]
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)  # finds the connections, so that the rest goes out evenly
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    for index in range(1, 31):
        stage.client.send_set(ALL, STAMP + index * PERIOD // 2)
        stage.spin_for(0.05)
    stage.spin_for(0.8)
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in stage.client.received["back/depth/image"]]
    assert 4 <= len(stamps) <= 12
    assert stamps[-1] == STAMP + 15 * PERIOD, "the newest set was not processed"
    assert stage.spin_until(lambda: int(stage.client.values_of("output").get("lost_overload", 0)) > 10, PATIENCE_S)


def test_a_failing_engine_is_reported_and_survived(stage: Stage) -> None:
    node = stage.node()
    assert node.loaded is not None
    engine, infer = node.loaded.pipeline.engine, node.loaded.pipeline.engine.infer

    def broken(images: np.ndarray, focal: np.ndarray) -> object:
        raise RuntimeError("device lost")

    engine.infer = broken  # type: ignore[method-assign]
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: stage.client.values_of("output").get("lost_internal") == "1", PATIENCE_S)
    status = stage.client.diagnosis("output")
    assert status is not None
    assert status.level == b"\x02"
    assert "device lost" in status.message
    engine.infer = infer  # type: ignore[method-assign]
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)


def test_deadlines_hold_while_a_simulated_clock_stands_still(stage: Stage) -> None:
    """use_sim_time without /clock: a partial set is closed all the same, and diagnostics go on."""
    stage.node(use_sim_time=True)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: stage.client.depth_images() == 1, PATIENCE_S)
    assert stage.spin_until(lambda: stage.client.values_of("camera front").get("missing") == "1", PATIENCE_S)


@pytest.mark.parametrize("ahead_ms", [300, -300])
def test_a_camera_off_the_clock_is_named_with_its_offset_and_costs_no_other(stage: Stage, ahead_ms: int) -> None:
    stage.node()
    stage.client.listen_to_all()
    good = {name: value for name, value in ALL.items() if name != "back"}
    for index in range(15):
        stamp = STAMP + index * 200_000_000
        stage.client.send_set(good, stamp)
        stage.client.send_set({"back": 100}, stamp + ahead_ms * 1_000_000)
        stage.spin_for(0.2)
    side = "ahead of" if ahead_ms > 0 else "behind"

    def named() -> bool:
        messages = [s.message for array in stage.client.received["/diagnostics"] for s in array.status]
        return any(f"ms {side} those of most cameras" in message for message in messages)

    assert stage.spin_until(named, PATIENCE_S)
    found = stage.client.values_of("camera back")
    assert int(found["off_clock"]) >= 12 and found["surplus"] == "0"
    assert abs(float(found["offset_ms"]) - ahead_ms) < 90, "play-back of this client lags by less than the window"
    assert stage.spin_until(lambda: stage.client.depth_images("front") >= 14, PATIENCE_S)
