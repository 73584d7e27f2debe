"""Bad, late and missing input over real DDS: counted, explained, and never the end of the node."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fsmde_ros.client.depth_images import CvBridge
from fsmde_ros.client.session import ros_node
from fsmde_ros.middleware import conversions
from support.ros_harness import DOMAIN, HEIGHT, NAMES, WIDTH, Stage, constant_rgb, image_message, open_stage, ring_rig

STAMP = 1_700_000_000_000_000_000
PERIOD = 100_000_000
FIVE = {name: 9 for name in NAMES if name != "front"}
ALL = dict.fromkeys(NAMES, 9)
# Diagnostics come once a second; the rest is for busy machines.
PATIENCE_S = 8.0


@pytest.fixture
def stage(tmp_path: Path, tiny_model: Path) -> Iterator[Stage]:
    with open_stage(tmp_path, tiny_model) as opened:
        yield opened


def sets_of(stage: Stage, name: str = "back") -> int:
    return len(stage.client.received[f"{name}/depth/image"])


def values(stage: Stage, name: str) -> dict[str, str]:
    status = stage.client.diagnosis(name)
    return {entry.key: entry.value for entry in status.values} if status else {}


def said_of(stage: Stage, name: str) -> str:
    status = stage.client.diagnosis(name)
    return status.message if status else ""


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
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    assert sets_of(stage, "front") == 0
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: sets_of(stage, "front") == 1, PATIENCE_S)
    assert stage.spin_until(lambda: reason in values(stage, "camera front").get("last_fault", ""), PATIENCE_S)
    assert values(stage, "camera front")["bad_image"] == "1"
    assert "bad_image" not in values(stage, "camera back")


@pytest.mark.parametrize("data", [b"", b"not a picture", cv2.imencode(".jpg", constant_rgb(9))[1].tobytes()[:200]])
def test_bad_compressed_image(stage: Stage, data: bytes) -> None:
    stage.node(image_transport="compressed")
    stage.client.listen_to_all()
    jpeg = cv2.imencode(".jpg", constant_rgb(9))[1].tobytes()
    for name in NAMES:
        stage.client.send_jpeg(name, data if name == "front" else jpeg, STAMP)
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    assert sets_of(stage, "front") == 0
    assert stage.spin_until(lambda: values(stage, "camera front").get("bad_image") == "1", PATIENCE_S)


def camera_info(name: str = "front") -> CameraInfo:
    return conversions.camera_info(conversions.header(STAMP, "driver_frame"), ring_rig()[name])


def test_camera_info_takes_over_and_broken_ones_do_not(stage: Stage) -> None:
    """Twice the focal length doubles the tiny model's depth; bad intrinsics afterwards change nothing."""
    stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: sets_of(stage, "front") == 1)
    good = camera_info()
    good.k[0] *= 2
    stage.client.publish("front/camera_info", good)
    assert stage.spin_until(lambda: values(stage, "camera front").get("intrinsics") == "camera_info", PATIENCE_S)
    missing, unknown, infinite = camera_info(), camera_info(), camera_info()
    missing.k = np.zeros(9)
    unknown.distortion_model = "swirl"
    infinite.k[0] = float("nan")
    for info in (missing, unknown, infinite):
        stage.client.publish("front/camera_info", info)
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: sets_of(stage, "front") == 2)
    before, after = (CvBridge().imgmsg_to_cv2(m).mean() for m in stage.client.received["front/depth/image"])
    assert after == pytest.approx(2 * before, rel=1e-4)
    assert stage.spin_until(lambda: values(stage, "camera front").get("bad_camera_info") == "3", PATIENCE_S)
    assert stage.client.received["front/depth/image"][1].header.frame_id == "front_optical"


def test_a_refused_camera_info_stays_visible_until_a_good_one_comes(stage: Stage) -> None:
    """Sent once, as by a latched publisher: the rig's intrinsics do not stay in force silently."""
    stage.node()
    unknown = camera_info()
    unknown.distortion_model = "swirl"
    stage.client.publish("front/camera_info", unknown)
    assert stage.spin_until(lambda: values(stage, "camera front").get("bad_camera_info") == "1", PATIENCE_S)
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
    assert stage.spin_until(lambda: values(stage, "camera front").get("intrinsics") == "camera_info", PATIENCE_S)
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: stage.client.received["front/depth/camera_info"], PATIENCE_S)
    assert stage.spin_until(lambda: sets_of(stage, "front") == 1, PATIENCE_S)
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
    assert stage.spin_until(lambda: values(stage, "camera front").get("intrinsics") == "camera_info", PATIENCE_S)
    stage.client.send_set({**ALL, "front": 19, "back": 39}, STAMP)
    assert stage.spin_until(lambda: all(sets_of(stage, name) == 1 for name in NAMES), PATIENCE_S)
    front, back, left = (
        np.median(CvBridge().imgmsg_to_cv2(stage.client.received[f"{name}/depth/image"][0]))
        for name in ("front", "back", "back_left")
    )
    # The tiny model: depth grows with 1 + grey and with the focal length.
    assert (front, back) == pytest.approx((2 * 40 / 10 * left, 20 / 10 * left), rel=1e-3)
    assert values(stage, "camera front")["topic"] == "/back/image_raw"
    assert stage.client.node.count_subscribers("/lidar/top") == 1
    assert values(stage, "lidar")["topic"] == "/lidar/top"


def test_intrinsics_of_the_rig_alone(stage: Stage) -> None:
    stage.node(intrinsics_source="rig")
    stage.spin_for(0.3)
    assert stage.client.node.count_subscribers("/front/camera_info") == 0
    assert stage.client.node.count_subscribers("/front/image_raw") == 1


def test_a_camera_that_never_appears(stage: Stage) -> None:
    stage.node(sync__min_cameras=5)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    assert stage.spin_until(lambda: values(stage, "camera front").get("missing") == "1", PATIENCE_S)
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
        heard = stage.spin_until(lambda: reason in said_of(stage, "camera front"), PATIENCE_S)
        assert heard, said_of(stage, "camera front")
        assert "nobody publishes there" in said_of(stage, "camera back")
        assert "image_transport" not in said_of(stage, "camera back")


def test_a_remapped_camera_that_sends_images_of_the_other_kind(stage: Stage) -> None:
    stage.client.node.create_publisher(CompressedImage, "/left_lens/color/compressed", 5)
    stage.node(remaps={"front/image_raw": "/left_lens/color"})
    reason = "no image on /left_lens/color yet: nobody publishes there, but 1 on /left_lens/color/compressed"
    assert stage.spin_until(lambda: reason in said_of(stage, "camera front"), PATIENCE_S)


def test_too_few_cameras_give_nothing(stage: Stage) -> None:
    stage.node(sync__min_cameras=6)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: values(stage, "output").get("sets_abandoned") == "1", PATIENCE_S)
    assert sets_of(stage) == 0


def test_a_camera_that_appears_late(stage: Stage) -> None:
    stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    stage.client.send_set(ALL, STAMP + 3 * PERIOD)
    assert stage.spin_until(lambda: sets_of(stage, "front") == 1, PATIENCE_S)


def test_time_that_jumps_back(stage: Stage) -> None:
    """As when a bag starts again: at most the frame of the jump is lost."""
    stage.node()
    stage.client.listen_to_all()
    for index in range(3):
        stage.client.send_set(ALL, STAMP + index * PERIOD)
        assert stage.spin_until(lambda n=index: sets_of(stage) == n + 1, PATIENCE_S)
    hour = 3600 * 10**9
    for index in range(3):
        stage.client.send_set(ALL, STAMP - hour + index * PERIOD)
        stage.spin_for(0.15)
    assert stage.spin_until(lambda: sets_of(stage) >= 5, PATIENCE_S)
    assert stage.client.received["back/depth/image"][-1].header.stamp.sec == (STAMP - hour) // 10**9
    assert stage.spin_until(lambda: values(stage, "output").get("time_jumps") == "1", PATIENCE_S)


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
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    for index in range(1, 31):
        stage.client.send_set(ALL, STAMP + index * PERIOD // 2)
        stage.spin_for(0.05)
    stage.spin_for(0.8)
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in stage.client.received["back/depth/image"]]
    assert 4 <= len(stamps) <= 12
    assert stamps[-1] == STAMP + 15 * PERIOD, "the newest set was not processed"
    assert stage.spin_until(lambda: int(values(stage, "output").get("lost_overload", 0)) > 10, PATIENCE_S)


def test_a_failing_engine_is_reported_and_survived(stage: Stage) -> None:
    node = stage.node()
    assert node.loaded is not None
    engine, infer = node.loaded.pipeline.engine, node.loaded.pipeline.engine.infer

    def broken(images: np.ndarray, focal: np.ndarray) -> object:
        raise RuntimeError("device lost")

    engine.infer = broken  # type: ignore[method-assign]
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: values(stage, "output").get("lost_internal") == "1", PATIENCE_S)
    status = stage.client.diagnosis("output")
    assert status is not None
    assert status.level == b"\x02"
    assert "device lost" in status.message
    engine.infer = infer  # type: ignore[method-assign]
    stage.client.send_set(ALL, STAMP + PERIOD)
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)


def test_deadlines_hold_while_a_simulated_clock_stands_still(stage: Stage) -> None:
    """use_sim_time without /clock: a partial set is closed all the same, and diagnostics go on."""
    stage.node(use_sim_time=True)
    stage.client.listen_to_all()
    stage.client.send_set(FIVE, STAMP)
    assert stage.spin_until(lambda: sets_of(stage) == 1, PATIENCE_S)
    assert stage.spin_until(lambda: values(stage, "camera front").get("missing") == "1", PATIENCE_S)


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
    found = values(stage, "camera back")
    assert int(found["off_clock"]) >= 12 and found["surplus"] == "0"
    assert abs(float(found["offset_ms"]) - ahead_ms) < 90, "play-back of this client lags by less than the window"
    assert stage.spin_until(lambda: sets_of(stage, "front") >= 14, PATIENCE_S)
