"""`fsmde view --live`: the topics around the real node, over DDS, as a Rerun recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fsmde_core.clouds.packer import PackedCloud
from fsmde_core.views.rerun import Scene
from fsmde_core.views.rerun_target import open_stream
from fsmde_ros.middleware import conversions
from support.rerun_file import read
from support.ros_harness import FX, HEIGHT, NAMES, RELIABLE, WIDTH, Stage, ring_rig
from support.tiny_model import HEIGHT as NET_HEIGHT
from support.tiny_model import WIDTH as NET_WIDTH

pytest.importorskip("rerun.chunk", reason="rerun-sdk is in the extra `view`")
from fsmde_ros.client.live_view import LiveView

STAMP = 1_700_000_000_000_000_000
GREYS = {name: 9 + 10 * index for index, name in enumerate(NAMES)}
POINTS = np.arange(12, dtype="<f4").reshape(4, 3)


def expected_depth(grey: int) -> float:
    """The tiny model by hand: (1 + grey) * fx at the network's size / 100."""
    return (1 + grey) * FX * NET_WIDTH / WIDTH / 100


def open_publishers(stage: Stage) -> list[Any]:
    """Publishers of everything that the client will send, so that listeners can find them before."""
    kinds = {**{f"{name}/image_raw": Image for name in NAMES}, "lidar/points": PointCloud2}
    for topic, kind in kinds.items():
        stage.client._publishers[topic] = stage.client.node.create_publisher(kind, topic, RELIABLE)
    return list(stage.client._publishers.values())


def all_found(stage: Stage, sent: list[Any]) -> bool:
    """The node and the view hear every image, the view the lidar and the node's outputs."""
    heard = [p for p in stage.nodes[0].publishers if p.topic_name.endswith(("/points", "depth/image", "camera_info"))]
    heard = [p for p in heard if not p.topic_name.endswith("depth/points")]
    listeners = [publisher.get_subscription_count() for publisher in sent]
    return all(p.get_subscription_count() == 1 for p in heard) and listeners == [2] * len(NAMES) + [1]


def sweep(frame_id: str) -> PointCloud2:
    body = PackedCloud(memoryview(POINTS.tobytes()), 1, len(POINTS), ("x", "y", "z"), is_dense=True)  # type: ignore[arg-type]
    message = conversions.point_cloud(conversions.header(STAMP, frame_id), body)
    return message


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_what_the_node_says_is_shown(stage: Stage, tmp_path: Path, encoding: str) -> None:
    stage.node(depth__encoding=encoding)
    path = tmp_path / "live.rrd"
    node = rclpy.create_node("view", context=stage.context)
    stage.executor.add_node(node)
    try:
        with open_stream(NAMES, True, path, False) as (stream, _):
            live = LiveView(node, ring_rig(), Scene(stream), compressed=False)
            sent = open_publishers(stage)
            assert stage.spin_until(lambda: all_found(stage, sent))
            stage.client.send_set(GREYS, STAMP)
            stage.client.publish("lidar/points", sweep("base_link"))
            wanted = {"images": 6, "depth images": 6, "clouds": 1, "sweeps": 1}
            assert stage.spin_until(lambda: live.received == wanted), live.received
    finally:
        stage.executor.remove_node(node)
        node.destroy_node()
    check(read(path, "stamp"))


def check(shown: dict[str, dict[int, Any]]) -> None:
    for name in NAMES:
        depth = shown[f"/world/vehicle/{name}/depth DepthImage:buffer"][STAMP][0]
        values = np.array(depth, np.uint8).view(np.float32)
        assert values.size == NET_WIDTH * NET_HEIGHT
        np.testing.assert_allclose(values, expected_depth(GREYS[name]), atol=6e-4)  # half a millimetre in 16UC1
        assert STAMP in shown[f"/world/vehicle/{name}/image EncodedImage:blob"]
        K = np.reshape(shown[f"/world/vehicle/{name}/image Pinhole:image_from_camera"][STAMP][0], (3, 3)).T
        np.testing.assert_allclose(K, [[FX, 0, WIDTH / 2], [0, FX, HEIGHT / 2], [0, 0, 1]])
    cloud = np.array(shown["/world/vehicle/points Points3D:positions"][STAMP], np.float32)
    assert len(cloud) == 6 * NET_WIDTH * NET_HEIGHT
    colors = {int(color) >> 8 for color in shown["/world/vehicle/points Points3D:colors"][STAMP]}
    assert colors == {grey << 16 | grey << 8 | grey for grey in GREYS.values()}
    np.testing.assert_array_equal(np.array(shown["/world/lidar Points3D:positions"][STAMP], np.float32), POINTS)


def test_what_cannot_be_shown_costs_itself_alone(stage: Stage, tmp_path: Path) -> None:
    node = rclpy.create_node("view", context=stage.context)
    stage.executor.add_node(node)
    told: list[str] = []
    try:
        with open_stream(NAMES, True, tmp_path / "live.rrd", False) as (stream, _):
            live = LiveView(node, ring_rig(), Scene(stream), compressed=False)
            logger = node.get_logger()
            logger.warning = told.append  # type: ignore[method-assign]
            node.get_logger = lambda: logger  # type: ignore[method-assign]
            truncated = Image(header=conversions.header(STAMP, ""), width=WIDTH, height=HEIGHT, encoding="rgb8")
            truncated.step, truncated.data = 3 * WIDTH, b"short"
            uncalibrated = CameraInfo(header=conversions.header(STAMP, ""), width=WIDTH, height=HEIGHT)
            short = sweep("base_link")
            short.data = b"short"
            for _ in range(2):
                stage.client.publish("points", short)
                stage.client.publish("lidar/points", sweep("velodyne"))
                stage.client.publish("front/image_raw", truncated)
                stage.client.publish("back/camera_info", uncalibrated)
            assert stage.spin_until(lambda: len(told) == 4), told
            stage.client.publish("lidar/points", sweep("base_link"))
            stage.client.publish("points", sweep("base_link"))  # without rgb and sigma
            assert stage.spin_until(lambda: live.received == {"sweeps": 1, "clouds": 1}), live.received
    finally:
        stage.executor.remove_node(node)
        node.destroy_node()
    assert len(told) == 4  # each once
    said = " ".join(sorted(told))
    for part in (
        "the sweep is in frame 'velodyne'",
        "truncated: 5 bytes",
        "camera_info holds no intrinsics",
        "does not fit its 5 bytes",
    ):
        assert part in said
