"""The node over real DDS: what it publishes is what the tiny model's closed form says, in the right place."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2

from fsmde_core.messages.point_cloud import read_points
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Rig, save_rig
from fsmde_ros.client.depth_images import CvBridge
from fsmde_ros.middleware import conversions
from support.ros_harness import (
    FX,
    HEIGHT,
    NAMES,
    STAMP,
    WIDTH,
    Stage,
    constant_rgb,
    expected_depth,
    image_message,
    ring_rig,
    start_node,
)
from support.tiny_model import HEIGHT as NET_HEIGHT
from support.tiny_model import WIDTH as NET_WIDTH

GREYS = {name: 9 + 10 * index for index, name in enumerate(NAMES)}


def test_depth_and_camera_info_of_six_cameras(stage: Stage) -> None:
    stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(GREYS, STAMP)
    received = stage.client.received
    assert stage.spin_until(
        lambda: all(received[f"{n}/depth/image"] and received[f"{n}/depth/camera_info"] for n in NAMES)
    )
    for name in NAMES:
        image, info = received[f"{name}/depth/image"][0], received[f"{name}/depth/camera_info"][0]
        depth = CvBridge().imgmsg_to_cv2(image)
        assert (image.encoding, depth.shape) == ("32FC1", (NET_HEIGHT, NET_WIDTH))
        np.testing.assert_allclose(depth, expected_depth(GREYS[name]), rtol=1e-5)
        assert image.header == info.header
        assert image.header.frame_id == f"{name}_optical"
        assert image.header.stamp.sec == STAMP // 10**9
        assert (info.width, info.height) == (NET_WIDTH, NET_HEIGHT)
        assert not np.any(info.d)
        # The principal point is the image's centre at both sizes, pixel centres at integers.
        fx, fy = FX * NET_WIDTH / WIDTH, FX * NET_HEIGHT / HEIGHT
        K = [[fx, 0, (NET_WIDTH - 1) / 2], [0, fy, (NET_HEIGHT - 1) / 2], [0, 0, 1]]
        np.testing.assert_allclose(np.reshape(info.k, (3, 3)), K)
        np.testing.assert_allclose(np.reshape(info.p, (3, 4)), np.hstack([K, np.zeros((3, 1))]))


def test_fused_cloud_lies_where_the_cameras_look(stage: Stage) -> None:
    stage.node()
    stage.client.listen(PointCloud2, "points")
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: stage.client.received["points"])
    cloud = stage.client.received["points"][0]
    assert cloud.header.frame_id == "base_link"
    points = read_points(cloud)
    assert len(points) == 6 * NET_WIDTH * NET_HEIGHT
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1)
    for camera in ring_rig().cameras:
        depth = expected_depth(GREYS[camera.name])
        # The lower right pixel: half the field of view to the right and down, at depth `depth`.
        right = (NET_WIDTH - 1) / 2 / (FX * NET_WIDTH / WIDTH) * depth
        down = (NET_HEIGHT - 1) / 2 / (FX * NET_HEIGHT / HEIGHT) * depth
        corner = camera.T_base_camera @ [right, down, depth, 1]
        nearest = np.argmin(np.linalg.norm(xyz - corner[:3], axis=1))
        np.testing.assert_allclose(xyz[nearest], corner[:3], atol=1e-3)
        grey = GREYS[camera.name]
        assert points["rgb"][nearest].view(np.uint32) == grey << 16 | grey << 8 | grey
        np.testing.assert_allclose(points["sigma"][nearest], depth / 10, rtol=1e-5)


def test_the_own_vehicle_has_no_depth_and_no_points(stage: Stage, tmp_path: Path) -> None:
    """The mask of `front`, a PNG, hides the lowest third; that of `back`, a polygon, its left half."""
    black_below = np.full((HEIGHT, WIDTH), 255, np.uint8)
    black_below[HEIGHT * 2 // 3 :] = 0
    cv2.imwrite(str(tmp_path / "front.png"), black_below)
    half = [[0, 0], [WIDTH // 2 - 1, 0], [WIDTH // 2 - 1, HEIGHT - 1], [0, HEIGHT - 1]]
    masks = {"front": "front.png", "back": half}
    cameras = [
        replace(c, mask=mask_from_entry(masks[c.name], tmp_path, c.name, (WIDTH, HEIGHT))) if c.name in masks else c
        for c in ring_rig().cameras
    ]
    save_rig(Rig(tuple(cameras)), tmp_path / "masked.yaml")
    stage.node(rig=str(tmp_path / "masked.yaml"), publish__camera_clouds=True)
    stage.client.listen_to_all()
    stage.client.listen(PointCloud2, "front/depth/points")
    received = stage.client.received
    # With a camera_info of the rig's size the mask stays in force.
    stage.client.publish(
        "front/camera_info", conversions.camera_info(conversions.header(STAMP, ""), ring_rig()["front"])
    )
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(
        lambda: (
            received["points"]
            and received["front/depth/points"]
            and all(received[f"{name}/depth/image"] for name in NAMES)
        )
    )
    hidden = {name: np.zeros((NET_HEIGHT, NET_WIDTH), bool) for name in NAMES}
    # Of the row or column that a border runs through, none is left.
    hidden["front"][NET_HEIGHT * 2 // 3 :] = True
    hidden["back"][:, : NET_WIDTH // 2] = True
    for name in NAMES:
        depth = CvBridge().imgmsg_to_cv2(received[f"{name}/depth/image"][0])
        np.testing.assert_array_equal(np.isnan(depth), hidden[name])
    assert received["points"][0].width == sum((~part).sum() for part in hidden.values())
    single = read_points(received["front/depth/points"][0])
    np.testing.assert_array_equal(np.isnan(single["z"]).reshape(NET_HEIGHT, NET_WIDTH), hidden["front"])


def test_a_mask_that_camera_info_contradicts_is_named(stage: Stage, tmp_path: Path) -> None:
    front = ring_rig()["front"]
    mask = mask_from_entry([[0, 80], [159, 80], [159, 95]], tmp_path, "front", (WIDTH, HEIGHT))
    save_rig(Rig((replace(front, mask=mask), *ring_rig().cameras[1:])), tmp_path / "masked.yaml")
    node = stage.node(rig=str(tmp_path / "masked.yaml"))
    stage.client.listen_to_all()
    larger = conversions.camera_info(conversions.header(STAMP, ""), front.rectified(2 * WIDTH, 2 * HEIGHT))
    stage.client.publish("front/camera_info", larger)
    assert node.loaded is not None
    calibration = node.loaded.calibration
    assert stage.spin_until(lambda: calibration.intrinsics_source("front") == "camera_info")
    pixels = np.full((2 * HEIGHT, 2 * WIDTH, 3), 9, np.uint8)
    stage.client.publish("front/image_raw", image_message(pixels, "rgb8", STAMP))
    assert stage.spin_until(lambda: stage.client.received["front/depth/image"])
    assert np.isfinite(CvBridge().imgmsg_to_cv2(stage.client.received["front/depth/image"][0])).all()
    said = f"its mask in the rig file is {WIDTH}x{HEIGHT}, its camera_info {2 * WIDTH}x{2 * HEIGHT}"
    assert stage.spin_until(lambda: (found := stage.client.diagnosis("camera front")) and said in found.message)


def test_a_rig_that_is_hardly_possible_is_named(
    stage: Stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Poses of body frames in the rig file: x forward, y left, z up."""
    body_to_optical = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    cameras = [
        replace(c, T_base_camera=rigid(c.T_base_camera[:3, :3] @ body_to_optical.T, c.T_base_camera[:3, 3]))
        for c in ring_rig().cameras
    ]
    save_rig(Rig(tuple(cameras)), tmp_path / "body.yaml")
    node = stage.node(rig=str(tmp_path / "body.yaml"))
    said = "look at the sky, 90 degrees above the horizon: the pose seems to be that of a body frame"
    assert stage.spin_until(lambda: (found := stage.client.diagnosis("surround_depth: rig")) and said in found.message)
    assert said in capfd.readouterr().err
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.set_parameters([Parameter("rig", value=str(tmp_path / "rig.yaml"))])[0].successful
    assert start_node(node)
    assert stage.spin_until(
        lambda: (found := stage.client.diagnosis("surround_depth: rig")) and found.message == "plausible"
    )


def test_millimetres(stage: Stage) -> None:
    stage.node(depth__encoding="16UC1")
    stage.client.listen_to_all()
    stage.client.send_set({**GREYS, "back": 255}, STAMP)
    assert stage.spin_until(lambda: stage.client.received["back/depth/image"])
    front, back = (stage.client.received[f"{name}/depth/image"][0] for name in ("front", "back"))
    assert front.encoding == "16UC1"
    assert np.all(CvBridge().imgmsg_to_cv2(front) == round(1000 * expected_depth(GREYS["front"])))
    assert expected_depth(255) > 65.535
    assert not np.any(CvBridge().imgmsg_to_cv2(back))


def test_depth_images_pass_the_gates_on_request(stage: Stage) -> None:
    node = stage.node(depth__gated=True, cloud__max_range=10.0)
    stage.client.listen_to_all()
    stage.client.send_set(GREYS, STAMP)
    received = stage.client.received
    assert stage.spin_until(lambda: all(received[f"{name}/depth/image"] for name in NAMES))
    for name in NAMES:
        depth = CvBridge().imgmsg_to_cv2(received[f"{name}/depth/image"][0])
        assert np.all(np.isnan(depth)) == (expected_depth(GREYS[name]) > 10)
    assert node.set_parameters([Parameter("cloud.max_range", value=1000.0)])[0].successful
    stage.client.send_set(GREYS, STAMP + 10**8)
    assert stage.spin_until(lambda: len(received["front_left/depth/image"]) == 2)
    assert np.all(np.isfinite(CvBridge().imgmsg_to_cv2(received["front_left/depth/image"][1])))


def test_compressed_images(stage: Stage) -> None:
    stage.node(image_transport="compressed")
    stage.client.listen_to_all()
    for name, grey in GREYS.items():
        padding = bytes(4096) if name == "back" else b""  # as buffers of fixed size leave it behind the end marker
        stage.client.send_jpeg(name, cv2.imencode(".jpg", constant_rgb(grey))[1].tobytes() + padding, STAMP)
    assert stage.spin_until(lambda: stage.client.received["back/depth/image"])
    depth = CvBridge().imgmsg_to_cv2(stage.client.received["back/depth/image"][0])
    np.testing.assert_allclose(depth, expected_depth(GREYS["back"]), rtol=0.05)


def test_organised_clouds(stage: Stage) -> None:
    stage.node(cloud__stride=2)
    stage.client.listen(PointCloud2, "back/depth/points")
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: stage.client.received["back/depth/points"])
    cloud = stage.client.received["back/depth/points"][0]
    assert (cloud.height, cloud.width) == (NET_HEIGHT // 2, NET_WIDTH // 2)
    assert cloud.header.frame_id == "back_optical"
    np.testing.assert_allclose(read_points(cloud)["z"], expected_depth(GREYS["back"]), rtol=1e-5)


def test_timing_and_stamps(stage: Stage) -> None:
    """Each camera's depth carries its own image's stamp, the cloud the newest; ~/timing tells of the set."""
    stage.node()
    stage.client.listen_to_all()
    stage.client.listen(DiagnosticArray, "surround_depth/timing")
    for index, name in enumerate(NAMES):
        message = image_message(constant_rgb(9), "rgb8", STAMP + index * 10**7)
        stage.client.publish(f"{name}/image_raw", message)
    received = stage.client.received
    assert stage.spin_until(lambda: received["points"] and received["surround_depth/timing"])
    assert stage.spin_until(lambda: all(received[f"{name}/depth/image"] for name in NAMES))
    stamps = [received[f"{name}/depth/image"][0].header.stamp.nanosec for name in NAMES]
    assert stamps == [index * 10**7 for index in range(6)]
    assert received["points"][0].header.stamp.nanosec == 5 * 10**7
    values = {entry.key: entry.value for entry in received["surround_depth/timing"][0].status[0].values}
    assert int(values["stamp_ns"]) == STAMP + 5 * 10**7
    assert values["cameras"].split(",") == list(NAMES)
    assert float(values["skew_ms"]) == 50
    stages = [float(values[f"{key}_ms"]) for key in ("receive", "preprocess", "infer", "cloud", "publish")]
    assert all(value >= 0 for value in stages)
    assert sum(stages) == pytest.approx(float(values["end_to_end_ms"]), rel=0.2, abs=1)
    assert stage.spin_until(lambda: "lag_ms" in stage.client.values_of("camera front_left"))
    assert stage.client.values_of("camera front")["lag_ms"] == "p50 -25.00, p95 -25.00, p99 -25.00"
    assert stage.client.values_of("camera front_left")["lag_ms"] == "p50 25.00, p95 25.00, p99 25.00"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_bound_the_rectifier(stage: Stage, threads: int) -> None:
    before = set(threading.enumerate())  # pipelines of other tests have such threads too
    stage.node(threads=threads)
    stage.client.listen_to_all()
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: stage.client.received["points"])
    assert 1 <= sum(one.name.startswith("rectify") for one in set(threading.enumerate()) - before) <= threads


def test_nothing_is_computed_for_nobody(stage: Stage) -> None:
    stage.node()
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: "rests" in (stage.client.said_of("output") or ""), 5)
    status = stage.client.diagnosis("output")
    assert status is not None
    values = {entry.key: entry.value for entry in status.values}
    assert (values["processed"], values["sets_unheard"]) == ("0", "1")


@pytest.mark.parametrize("spread_ms", [80, 120])
def test_sets_that_a_small_window_tears_are_a_warning(stage: Stage, spread_ms: int) -> None:
    """Every camera sends, but the stamps of one moment lie further apart than `sync.window_ms`, 90."""
    stage.node()
    stage.client.listen_to_all()
    for index in range(12):
        for name, grey in GREYS.items():
            late = name in list(GREYS)[3:]
            stage.client.send_set({name: grey}, STAMP + (index * 200 + late * spread_ms) * 1_000_000)
        stage.spin_for(0.2)
    torn = "lack a camera, though all cameras send; do the stamps of one moment differ by more than sync.window_ms?"
    texts = [status.message for array in stage.client.received["/diagnostics"] for status in array.status]
    assert any(torn in text for text in texts) == (spread_ms > 90)


def test_switched_off_outputs_stay_silent(stage: Stage) -> None:
    stage.node(publish__depth=False)
    stage.client.listen_to_all()
    stage.client.send_set(GREYS, STAMP)
    assert stage.spin_until(lambda: stage.client.received["points"])
    stage.spin_for(0.2)
    assert not stage.client.received["front/depth/image"]
