"""The parts of the node that need no DDS."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.errors import FsmdeError
from fsmde_core.messages.point_cloud import read_points
from fsmde_core.messages.read import camera_from_info
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Rig, save_rig
from fsmde_ros.client import depth_images
from fsmde_ros.middleware import compat, conversions
from fsmde_ros.middleware.process import forward_logs
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.health import Health, lags_ms
from fsmde_ros.node.latest_slot import LatestSlot
from fsmde_ros.node.parameters import PARAMETERS
from fsmde_ros.node.settings import NodeSetup
from fsmde_ros.node.tf_mounts import TransformMounts
from support.ros_harness import NAMES, ring_rig

HEAD = conversions.header(1_700_000_000_123_456_789, "front_optical")
DEPTH = np.array([[0.0004, 1.2344, 65.535], [65.5360, np.nan, np.inf]], np.float32)


def test_header() -> None:
    assert (HEAD.stamp.sec, HEAD.stamp.nanosec, HEAD.frame_id) == (1_700_000_000, 123_456_789, "front_optical")


def test_millimetres_by_hand() -> None:
    assert conversions.millimetres(DEPTH).tolist() == [[0, 1234, 65535], [0, 0, 0]]


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depth_images_survive_the_wire(encoding: str) -> None:
    message = conversions.depth_image(HEAD, DEPTH, encoding)
    back = depth_images.CvBridge().imgmsg_to_cv2(deserialize_message(serialize_message(message), Image))
    np.testing.assert_array_equal(back, conversions.millimetres(DEPTH) if encoding == "16UC1" else DEPTH)


def test_camera_info_is_read_back_as_the_same_camera() -> None:
    camera = ring_rig()["back"].rectified(112, 64)
    back = camera_from_info(conversions.camera_info(HEAD, camera), "back", camera.T_base_camera)
    np.testing.assert_array_equal(back.K, camera.K)
    assert (back.width, back.height, back.is_distorted) == (112, 64, False)


def test_camera_info_is_a_message_of_its_own_each_time() -> None:
    camera, later = ring_rig()["back"].rectified(112, 64), conversions.header(5, "another_frame")
    first, second = conversions.camera_info(HEAD, camera), conversions.camera_info(later, camera)
    assert (first.header, second.header) == (HEAD, later)
    assert (first.width, list(first.k), list(first.d)) == (112, camera.K.ravel().tolist(), [0.0] * 5)
    assert list(first.p) == [*camera.K[0], 0, *camera.K[1], 0, *camera.K[2], 0]
    other = conversions.camera_info(HEAD, ring_rig()["front"].rectified(224, 128))
    assert (other.width, list(other.k)) == (224, ring_rig()["front"].rectified(224, 128).K.ravel().tolist())


def example_cloud() -> PointCloud2:
    camera = ring_rig()["front_left"].rectified(8, 6)
    depth = np.linspace(1, 9, 48, dtype=np.float32).reshape(1, 6, 8)
    rgb = np.arange(144, dtype=np.uint8).reshape(1, 6, 8, 3)
    packed = CloudPacker(CloudSettings()).pack([camera], rgb, depth, depth / 10)
    return conversions.point_cloud(HEAD, packed)


def test_cloud_message() -> None:
    cloud = example_cloud()
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "sigma"]
    assert cloud.row_step == len(cloud.data) == 48 * cloud.point_step
    np.testing.assert_allclose(read_points(cloud)["sigma"], np.linspace(0.1, 0.9, 48), rtol=1e-5)


@pytest.mark.skipif(not find_spec("sensor_msgs_py"), reason="sensor_msgs_py comes with a ROS distribution only")
def test_read_points_agrees_with_that_of_ros() -> None:
    from sensor_msgs_py.point_cloud2 import read_points as read_points_of_ros

    theirs = read_points_of_ros(example_cloud())
    ours = read_points(example_cloud())
    assert theirs.dtype.names == ours.dtype.names
    for name in theirs.dtype.names:
        np.testing.assert_array_equal(theirs[name], ours[name])


@pytest.mark.skipif(
    depth_images.CvBridge is depth_images.StandInCvBridge, reason="cv_bridge comes with a ROS distribution only"
)
@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depth_images_and_stand_in_agree_with_the_real_cv_bridge(encoding: str) -> None:
    real = depth_images.CvBridge()
    ours = conversions.depth_image(HEAD, DEPTH, encoding)
    pixels = real.imgmsg_to_cv2(ours)
    np.testing.assert_array_equal(pixels, depth_images.StandInCvBridge().imgmsg_to_cv2(ours))
    assert real.cv2_to_imgmsg(pixels, encoding, HEAD) == ours


@pytest.mark.skipif(not find_spec("message_filters"), reason="message_filters comes with a ROS distribution only")
def test_stand_in_filter_has_the_members_of_the_real_one() -> None:
    from message_filters import SimpleFilter

    public = {name for name in vars(SimpleFilter) if not name.startswith("_")}
    assert public <= set(dir(compat.StandInSimpleFilter))


def test_filter_passes_messages_and_arguments_on() -> None:
    got: list[Any] = []
    source = compat.SimpleFilter()
    source.registerCallback(lambda *args: got.append(args))
    source.registerCallback(lambda *args: got.append(args), "extra")
    source.signalMessage("message")
    assert got == [("message",), ("message", "extra")]


def test_read_padded_images() -> None:
    message = Image(height=2, width=2, encoding="16UC1", step=6, is_bigendian=1)
    message.data = bytes([0, 1, 0, 2, 9, 9, 0, 3, 1, 0, 9, 9])
    assert depth_images.StandInCvBridge().imgmsg_to_cv2(message).tolist() == [[1, 2], [3, 256]]


def test_the_newest_item_wins() -> None:
    slot: LatestSlot[int] = LatestSlot()
    assert slot.put(1) is None
    assert slot.put(2) == 1
    assert slot.get() == 2
    assert slot.put(3) is None


def test_closing_wakes_the_waiting_thread() -> None:
    slot: LatestSlot[int] = LatestSlot()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(slot.get()))
    thread.start()
    time.sleep(0.05)
    assert not got
    slot.close()
    thread.join(5)
    assert got == [None]


def test_warnings_are_throttled_per_camera_and_kind() -> None:
    said: list[str] = []
    health = Health(("front", "back"), said.append)
    for _ in range(100):
        health.count_fault("front", "image", "too dark")
    health.count_fault("front", "camera_info", "empty")
    health.count_fault("back", "image", "too bright")
    assert len(said) == 3
    assert "'front'" in said[0]
    assert "too dark" in said[0]
    assert health.cameras["front"].dropped == {"image": 100, "camera_info": 1}


def test_lags_by_hand() -> None:
    begin = 1_700_000_000_000_000_000
    stamps = {"front": begin, "left": begin + 1_000_000, "right": begin + 3_000_000, "back": begin + 10_000_000}
    assert lags_ms(stamps) == pytest.approx({"front": -2, "left": -1, "right": 1, "back": 8}, abs=1e-3)


def test_the_node_loads_none_of_the_readers() -> None:
    """Not even where a ROS distribution has them: cv_bridge alone costs every process an OpenCV binding."""
    readers = ("fsmde_ros.client.depth_images", "cv_bridge")
    code = f"import sys, fsmde_ros.node.node; print([m for m in {readers} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_python_logs_goes_to_the_nodes_logger() -> None:
    told: list[str] = []
    sources = [logging.getLogger(name) for name in ("fsmde_core", "fsmde_ros")]
    before = [(source.level, source.propagate) for source in sources]
    forward_logs(SimpleNamespace(warning=told.append))
    try:
        for name in ("fsmde_core.engines.registry", "fsmde_ros.middleware.image_type"):
            logging.getLogger(name).warning(f"slow: {name}")
    finally:
        for source, (level, propagate) in zip(sources, before, strict=True):
            source.setLevel(level)
            source.propagate = propagate
            source.handlers.pop()
    assert told == ["slow: fsmde_core.engines.registry", "slow: fsmde_ros.middleware.image_type"]


def test_rates() -> None:
    health = Health(("front",), print)
    assert health.input_rate("front") == 0
    assert math.isinf(health.silence_s("front"))
    now = time.monotonic()
    health.cameras["front"].arrivals.extend(now - 4 + index / 10 for index in range(40))
    assert health.input_rate("front") == pytest.approx(10, rel=0.05)
    assert health.silence_s("front") == pytest.approx(0.1, abs=0.05)


def test_calibration_replaces_only_what_changes() -> None:
    calibration = Calibration(ring_rig())
    before = calibration.rig
    info = conversions.camera_info(HEAD, ring_rig()["front"])
    info.k[0] = 99.0
    assert calibration.update("front", info)
    assert not calibration.update("front", info)
    assert calibration.rig["front"].fx == 99
    assert calibration.rig["front"].frame_id == "front_optical"
    assert before["front"].fx == 80, "a snapshot changed"
    assert all(calibration.rig[name] is before[name] for name in NAMES[1:])
    with pytest.raises(FsmdeError, match=r"swirl.*the intrinsics of the last good camera_info stay in force"):
        calibration.update("front", SimpleNamespace(**{**_fields(info), "distortion_model": "swirl"}))
    assert calibration.rig["front"].fx == 99 and "swirl" in calibration.refused["front"]
    assert not calibration.update("front", info) and not calibration.refused


def test_masks_stay_as_long_as_camera_info_has_their_size() -> None:
    rig = ring_rig()
    front = replace(rig["front"], mask=mask_from_entry([[0, 80], [159, 80], [159, 95]], Path(), "front", (160, 96)))
    calibration = Calibration(replace(rig, cameras=(front, *rig.cameras[1:])))
    camera = rig["front"]
    calibration.set_mount("front", rigid(np.eye(3), [1, 2, 3]))
    assert calibration.update("front", conversions.camera_info(HEAD, replace(camera, K=np.diag([99.0, 99, 1]))))
    assert calibration.rig["front"].mask is front.mask and calibration.rig["front"].fx == 99
    assert calibration.unused_mask("front") == calibration.unused_mask("back") == ""
    # An image of another size would show the vehicle elsewhere; the mask comes back with its size.
    assert calibration.update("front", conversions.camera_info(HEAD, camera.rectified(320, 192)))
    assert calibration.rig["front"].mask is None and calibration.rig["front"].width == 320
    assert calibration.unused_mask("front").startswith(
        "its mask in the rig file is 160x96, its camera_info 320x192: the own"
    )
    assert calibration.update("front", conversions.camera_info(HEAD, camera))
    assert calibration.rig["front"].mask is front.mask and calibration.unused_mask("front") == ""


def _fields(info: Any) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.get_fields_and_field_types()}


def test_camera_names_must_serve_as_topics(tmp_path: Path) -> None:
    save_rig(Rig((replace(ring_rig()["front"], name="CAM FRONT"),)), tmp_path / "rig.yaml")
    defaults = {spec.name: spec.default for spec in PARAMETERS}
    with pytest.raises(FsmdeError, match="'CAM FRONT'"):
        NodeSetup.read({**defaults, "rig": str(tmp_path / "rig.yaml")})


def test_another_base_frame_needs_mounts_from_tf(tmp_path: Path) -> None:
    save_rig(ring_rig(), tmp_path / "rig.yaml")
    values = {spec.name: spec.default for spec in PARAMETERS} | {"rig": str(tmp_path / "rig.yaml")}
    assert NodeSetup.read({**values, "base_frame": "base_link"}).rig.base_frame == "base_link"
    assert NodeSetup.read({**values, "base_frame": "odom", "extrinsics_source": "tf"}).rig.base_frame == "odom"
    with pytest.raises(FsmdeError, match=r"'odom', but the rig's mounts are in 'base_link'"):
        NodeSetup.read({**values, "base_frame": "odom"})


class FakeBuffer:
    """tf2_ros.Buffer with what a test puts into it."""

    known: dict[str, Any]

    def __init__(self) -> None:
        FakeBuffer.known = {}

    def lookup_transform(self, target: str, source: str, when: Any) -> Any:
        if source not in self.known:
            raise FakeTransformException(f'"{source}" passed to lookupTransform does not exist')
        return SimpleNamespace(transform=self.known[source])


class FakeTransformException(Exception):
    """tf2_ros.TransformException."""


def test_mounts_from_tf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in of tf2_ros: a mount is missing until /tf has it, then moves the camera."""
    fake = ModuleType("tf2_ros")
    listener = SimpleNamespace(unregister=lambda: None)
    vars(fake).update(
        Buffer=FakeBuffer, TransformListener=lambda *_: listener, TransformException=FakeTransformException
    )
    monkeypatch.setitem(sys.modules, "tf2_ros", fake)
    calibration = Calibration(ring_rig())
    mounts = TransformMounts(SimpleNamespace(), calibration)  # type: ignore[arg-type]
    mounts.refresh()
    assert set(mounts.missing) == set(NAMES)
    assert "base_link <- front_optical" in mounts.missing["front"]
    translation, rotation = SimpleNamespace(x=1.0, y=2.0, z=3.0), SimpleNamespace(w=1.0, x=0.0, y=0.0, z=0.0)
    FakeBuffer.known["front_optical"] = SimpleNamespace(translation=translation, rotation=rotation)
    mounts.refresh()
    assert set(mounts.missing) == set(NAMES[1:])
    np.testing.assert_array_equal(calibration.rig["front"].T_base_camera, rigid(np.eye(3), [1, 2, 3]))
    FakeBuffer.known.clear()
    mounts.refresh()
    assert "front" not in mounts.missing, "a mount that was known once stays known"
