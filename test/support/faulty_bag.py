"""A recording with twenty-one faults at once, and what of it is good all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from fsmde_core.messages.encode import CAMERA_INFO, IMAGE, TF_STATIC_TOPIC, Message, typestore
from fsmde_core.rig.geometry import rigid
from support.bags import MS, changed, cloud, header, message, recorded, transforms
from support.small_rig import OPTICAL, Scanned, yaw

FRAMES = 40
FOCAL_BEFORE, FOCAL_AFTER, FOCAL_CHANGES_AT = 30.0, 31.0, 26
MOUNT_CHANGES_AT = 30
TURNED_BACK = rigid(yaw(175) @ OPTICAL, (18.0, 1, 2))
LOST_IMAGES = {(3, "right"), (4, "back"), (5, "left"), (6, "left"), (7, "right"), (9, "left"), (23, "right")}
"""(frame, camera) of those that cannot be used."""
LOST_SWEEPS = {10, 12, 14, 16}
"""Frames whose sweep cannot be used."""

NOTES = {
    "the first camera_info of front has NaN": r"front/camera_info",
    "an image of right is a cut JPEG": r"right/image_raw/compressed.*truncated",
    "an image of back has no stamp": r"back/image_raw/compressed.*stamp is 0 ns",
    "an image of left is no picture": r"left/image_raw/compressed.*does not decode",
    "an image of left has another size": r"left.*64\s?x\s?40",
    "an image of right is stamped 300 ms ahead": r"right/image_raw/compressed.*300 ms ahead",
    "an image of back comes twice": r"back/image_raw/compressed.*each has the stamp of the one before",
    "an image of left comes 400 ms late": r"left/image_raw/compressed.*400 ms behind",
    "a sweep is empty": r"lidar/points.*it has no points",
    "a sweep has less data than it says": r"lidar/points.*does not fit its 24000 bytes",
    "a sweep is stamped 37 s ahead": r"lidar/points.*stamps lie 37.0 s from the images",
    "a sweep is in a frame that nobody knows": r"nobody_knows",
    "a transform has a rotation of NaN": r"/tf",
    "base_link has a second parent": r"'map'",
    "a depth camera lies beside the rig": r"depth_camera",
    "a dash camera has no camera_info": r"dash",
    "there is a second lidar": r"rear_lidar",
    "a camera_info of front is no message": r"front/camera_info",
    "an image of right is no message": r"right/image_raw/compressed.*has no header",
    "the focal length of left changes": r"left.*(changes|changed)",
    "the mount of back changes": r"back.*(changes|changed)",
}
"""Fault -> what the note about it matches. Zeros behind the end of a JPEG are none."""


def faulty_messages() -> list[Message]:
    """Messages in order of recording."""
    found = sorted(recorded(Scanned(FRAMES), compressed=True), key=lambda one: one.stamp_ns)
    found = [later for one in found for later in _with_faults(one)]
    return sorted([*found, *_beside()], key=lambda one: one.stamp_ns)


def _frame(stamp_ns: int) -> int:
    return (stamp_ns // MS - 1000) // 100


def _with_faults(one: Message) -> Iterator[Message]:
    change = _CHANGES.get((one.topic, _frame(one.stamp_ns)))
    if one.topic == "left/camera_info" and _frame(one.stamp_ns) >= FOCAL_CHANGES_AT:
        change = _set_focal
    if one.topic == TF_STATIC_TOPIC:
        if _frame(one.stamp_ns) == 0:
            yield one
    elif change is None:
        yield one
    else:
        yield from change(one)


def _edited(edit: Callable[[Any], None]) -> Callable[[Message], Iterator[Message]]:
    def change(one: Message) -> Iterator[Message]:
        yield changed(one, edit)

    return change


def _set_data(data: Callable[[np.ndarray], np.ndarray]) -> Callable[[Message], Iterator[Message]]:
    def edit(content: Any) -> None:
        content.data = np.ascontiguousarray(data(np.asarray(content.data)))

    return _edited(edit)


def _shift(ms: int) -> Callable[[Message], Iterator[Message]]:
    def edit(content: Any) -> None:
        stamp = content.header.stamp
        total = stamp.sec * 1_000 * MS + stamp.nanosec + ms * MS
        content.header = header(total, content.header.frame_id)

    return _edited(edit)


def _unstamped(content: Any) -> None:
    content.header = header(0, content.header.frame_id)


def _set_nan(content: Any) -> None:
    content.k = np.full(9, np.nan)


def _elsewhere(content: Any) -> None:
    content.header.frame_id = "nobody_knows"


def _enlarged(data: np.ndarray) -> np.ndarray:
    return cv2.imencode(".jpg", cv2.resize(cv2.imdecode(data, cv2.IMREAD_COLOR), (64, 40)))[1].ravel()


def _twice(one: Message) -> Iterator[Message]:
    yield one
    yield replace(one, stamp_ns=one.stamp_ns + 5 * MS)


def _late(one: Message) -> Iterator[Message]:
    yield replace(one, stamp_ns=one.stamp_ns + 400 * MS)


def _no_message(one: Message) -> Iterator[Message]:
    yield replace(one, data=bytes(one.data)[:11])


def _set_focal(one: Message) -> Iterator[Message]:
    def edit(content: Any) -> None:
        content.k = np.array([FOCAL_AFTER, 0, 16, 0, FOCAL_AFTER, 10, 0, 0, 1])

    yield changed(one, edit)


_CHANGES = {
    ("front/camera_info", 0): _edited(_set_nan),
    ("right/image_raw/compressed", 3): _set_data(lambda data: data[: len(data) // 2]),
    ("back/image_raw/compressed", 4): _edited(_unstamped),
    ("left/image_raw/compressed", 5): _set_data(lambda data: np.arange(200, dtype=np.uint8)),
    ("left/image_raw/compressed", 6): _set_data(_enlarged),
    ("right/image_raw/compressed", 7): _shift(300),
    ("back/image_raw/compressed", 8): _twice,
    ("left/image_raw/compressed", 9): _late,
    ("lidar/points", 10): _edited(
        lambda content: vars(content).update(width=0, row_step=0, data=np.zeros(0, np.uint8))
    ),
    ("lidar/points", 12): _set_data(lambda data: data[: len(data) // 2]),
    ("lidar/points", 14): _shift(37_000),
    ("lidar/points", 16): _edited(_elsewhere),
    ("right/image_raw/compressed", 19): _set_data(lambda data: np.concatenate([data, np.zeros(50, np.uint8)])),
    ("front/camera_info", 18): _no_message,
    ("right/image_raw/compressed", 23): _no_message,
}


def _beside() -> Iterator[Message]:
    """Messages of topics that are not the rig's, and transforms that are wrong."""
    nan = rigid(np.eye(3), (0, 0, 0))
    broken = changed(transforms(1_305 * MS, ("odom", "base_link", nan)), _spoil)
    yield broken
    for index in range(0, FRAMES, 4):
        yield transforms((1_003 + 100 * index) * MS, ("map", "base_link", rigid(np.eye(3), (900, 0, 0))))
    types = typestore().types
    for index in range(FRAMES):
        stamp = (1_000 + 100 * index) * MS
        for name, encoding, width in (("depth_camera", "32FC1", 4), ("dash", "rgb8", 3)):
            fields = {"height": 2, "width": 2, "encoding": encoding, "is_bigendian": 0, "step": 2 * width}
            data = np.zeros(4 * width, np.uint8)
            yield message(f"{name}/image_raw", IMAGE, stamp, header=header(stamp, name), data=data, **fields)
        roi = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        yield message(
            "depth_camera/camera_info", CAMERA_INFO, stamp, header=header(stamp, "depth_camera"), height=2, width=2,
            distortion_model="plumb_bob", d=np.zeros(5), k=np.eye(3).ravel(), r=np.eye(3).ravel(), p=np.zeros(12),
            binning_x=0, binning_y=0, roi=roi,
        )  # fmt: skip
        yield cloud(stamp, "rear_lidar", np.ones((5, 3), np.float32), topic="rear_lidar/points")
    yield transforms(
        (1_000 + 100 * MOUNT_CHANGES_AT - 20) * MS, ("base_link", "back_optical", TURNED_BACK), topic=TF_STATIC_TOPIC
    )


def _spoil(content: Any) -> None:
    rotation = content.transforms[0].transform.rotation
    rotation.x = rotation.y = rotation.z = rotation.w = float("nan")
