"""Peers whose QoS does not fit are named on /diagnostics: a topic that stays empty says why."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

from support.ros_harness import NAMES, Stage

STAMP = 1_000_000_000
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = {"qos_overrides./front/image_raw.subscription.reliability": "reliable"}


def says(stage: Stage, part: str, words: str) -> bool:
    status = stage.client.diagnosis(part)
    return status is not None and words in status.message


def test_a_camera_that_is_less_reliable_than_asked_for(stage: Stage) -> None:
    stage.client.node.create_publisher(Image, "front/image_raw", BEST_EFFORT)
    stage.client.node.create_publisher(Image, "back/image_raw", BEST_EFFORT)
    stage.node(**RELIABLE)
    reason = "1 of 1 publishers do not fit its QoS (best effort publisher and reliable subscription)"
    assert stage.spin_until(lambda: says(stage, "camera front", reason))
    assert says(stage, "camera front", "set qos_overrides./front/image_raw.subscription")
    assert stage.spin_until(lambda: says(stage, "camera back", "1 publishers; check the camera and the network"))


def test_the_camera_behind_a_remapped_topic_is_the_one_looked_at(stage: Stage) -> None:
    stage.client.node.create_publisher(Image, "back/image_raw", BEST_EFFORT)
    qos = {"qos_overrides./back/image_raw.subscription.reliability": "reliable"}
    stage.node(remaps={"front/image_raw": "back/image_raw", "back/image_raw": "front/image_raw"}, **qos)
    reason = "no image on /back/image_raw yet: 1 of 1 publishers do not fit its QoS"
    assert stage.spin_until(lambda: says(stage, "camera front", reason))
    assert says(stage, "camera front", "set qos_overrides./back/image_raw.subscription")
    assert stage.spin_until(lambda: says(stage, "camera back", "/front/image_raw yet: nobody publishes there"))


def test_a_listener_that_asks_for_more_than_is_offered(stage: Stage) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    stage.client.node.create_subscription(PointCloud2, "points", lambda message: None, latched)
    stage.node()
    assert stage.spin_until(lambda: says(stage, "output", "a listener of /points gets nothing: volatile publisher"))
    assert says(stage, "output", "set qos_overrides./points.publisher")


def test_listeners_and_cameras_that_fit_are_not_blamed(stage: Stage) -> None:
    stage.client.listen_to_all()
    stage.node()
    stage.client.send_set(dict.fromkeys(NAMES, 100), STAMP)
    assert stage.spin_until(lambda: says(stage, "output", "sets per second"))
    assert stage.nodes[0].loaded is not None
    assert stage.nodes[0].loaded.outputs.mismatches() == {}
