"""What of a bag cannot be used: it costs itself, with its reason; what is good stays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.messages.encode import Message, encode_jpeg, restamp
from fsmde_core.sources.rosbag import RosbagSource
from support.bags import MS, altered, assert_same, changed, cut, in_frame, on, recorded, with_values, write_messages
from support.small_rig import SmallRig


def without_lidar(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames if frame.lidar is None]


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        (on("back/image_raw", with_values(encoding="mono12")), "not decodable", r"first of stamp 1\.030: .*'mono12'"),
        (
            on("back/image_raw", with_values(width=30)),
            "of another size than its calibration",
            "the image is 30x20, its calibration is for 32x20",
        ),
        (cut("back/image_raw", 40), "damaged", "/back/image_raw is no sensor_msgs"),
        (cut("back/image_raw", 6), "damaged", "/back/image_raw has no header"),
        (
            lambda m: replace(m, data=restamp(m, 0)) if m.topic == "back/image_raw" else m,
            "no stamp",
            "the image's stamp is 0 ns, expected the time of exposure; set it in the driver",
        ),
    ],
)
def test_images_that_cannot_be_used_cost_themselves(
    tmp_path: Path, change: Callable[[Message], Message], reason: str, said: str
) -> None:
    """Those of one camera in the first frame; a second pass counts nothing twice."""
    messages = [change(m) if m.stamp_ns < 1100 * MS else m for m in recorded(SmallRig(2))]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    for _ in range(2):
        first, second = source.frames()
        assert list(first.images) == ["front", "right", "left"] and len(second.images) == 4
        assert first.lidar is not None
    assert len(source) == 2
    assert (source.counts.images.read, source.counts.images.used) == (8, 7)
    assert source.counts.images.left_out == {reason: 1}
    (note,) = source.notes
    assert "has 2 images on /back/image_raw, 1 left out, " in note and re.search(said, note)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (on("lidar/points", in_frame("roof")), "does not join 'roof' to 'base_link'"),
        (on("lidar/points", with_values(fields=[])), "no float field"),
        (on("lidar/points", with_values(width=0, row_step=0, data=np.zeros(0, np.uint8))), "it has no points"),
        (on("lidar/points", with_values(height=0)), "it has no points"),
        (on("lidar/points", with_values(fields=[], width=0, height=0, point_step=0, row_step=0)), "it has no points"),
        (on("lidar/points", with_values(row_step=3, height=9)), "row_step is 3 bytes"),
        (on("lidar/points", with_values(data=np.full(600, 255, np.uint8))), "none of its points is finite"),
        (cut("lidar/points", 40), "is no sensor_msgs/msg/PointCloud2"),
    ],
)
def test_sweeps_that_cannot_be_used_cost_themselves(
    tmp_path: Path, change: Callable[[Message], Message], said: str
) -> None:
    messages = [change(m) if m.stamp_ns < 1200 * MS else m for m in recorded(SmallRig(4))]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    for _ in range(2):
        frames = list(source.frames())
        assert [len(frame.images) for frame in frames] == [4] * 4 and without_lidar(frames) == [0, 1, 3]
    assert (source.counts.sweeps.read, source.counts.sweeps.used) == (2, 1)
    (note,) = source.notes
    assert "has 2 sweeps on /lidar/points, 1 left out, the first of stamp 1.065: " in note and said in note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (on("left/camera_info", with_values(k=np.zeros(9))), "/left/camera_info cannot be used: .*no intrinsics"),
        (on("left/camera_info", with_values(k=np.full(9, np.nan))), "/left/camera_info cannot be used: .*positive"),
        (on("left/camera_info", with_values(k=np.diag([-30.0, 30, 1]).ravel())), "cannot be used: .*positive"),
        (on("left/camera_info", with_values(k=np.diag([1e30, 1e30, 1]).ravel())), "cannot be used: .*no lens has"),
        (on("left/camera_info", with_values(k=np.diag([4e-3, 4e-3, 1]).ravel())), "cannot be used: .*no lens has"),
        (on("left/camera_info", with_values(width=0, height=0)), "cannot be used: .*size 0x0"),
        (cut("left/camera_info", 40), "cannot be used: .*is no sensor_msgs"),
        (on("left/camera_info", in_frame("elsewhere")), "does not join 'elsewhere' to 'base_link'"),
        (on("left/camera_info", in_frame("back_optical")), "its frame 'back_optical' is that of /back/image_raw"),
        (on("left/image_raw", with_values(encoding="16UC1")), r"its images hold depth \(16UC1\)"),
        (lambda m: None if m.topic == "left/camera_info" else m, "nothing on /left/camera_info"),
    ],
)
def test_camera_that_cannot_be_used_is_left_out(
    tmp_path: Path, change: Callable[[Message], Message | None], said: str
) -> None:
    source = RosbagSource(write_messages(tmp_path / "bag", altered(change)))
    for ours, theirs in zip(source.frames(), SmallRig(2).frames(), strict=True):
        assert ours.rig.names == ("front", "right", "back")
        assert list(ours.images) == ["front", "right", "back"] and (ours.lidar is None) == (theirs.lidar is None)
    (note,) = source.notes
    assert "/left/image_raw that was left out: " in note and re.search(said, note)


def test_first_good_camera_info_counts(tmp_path: Path) -> None:
    bad = {"left": on("left/camera_info", with_values(k=np.zeros(9))), "back": cut("back/camera_info", 30)}
    messages = [bad["left"](bad["back"](m)) if m.stamp_ns < 1200 * MS else m for m in recorded(SmallRig(4))]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    for ours, theirs in zip(source.frames(), SmallRig(4).frames(), strict=True):
        assert_same(ours, theirs)
    left, back = sorted(source.notes, reverse=True)
    assert "has 2 messages on /left/camera_info that were left out" in left
    assert "has 2 messages on /back/camera_info that were left out" in back


def test_compressed_images_of_another_size_or_broken_cost_themselves(tmp_path: Path) -> None:
    def small(content: Any) -> None:
        content.data = np.frombuffer(encode_jpeg(np.zeros((10, 16, 3), np.uint8)), np.uint8)

    def short(content: Any) -> None:
        content.data = content.data[:100]

    def halved(content: Any) -> None:
        content.data = content.data[: len(content.data) // 2]

    def garbled(content: Any) -> None:  # the tables without which no pixel can be decoded
        content.data = np.concatenate([content.data[:160], np.full(200, 255, np.uint8), content.data[360:]])

    for number, (change, said) in enumerate(
        [(small, "the image is 16x10"), (short, "'jpeg'"), (halved, "'jpeg'"), (garbled, "'jpeg'")]
    ):
        for at_ns in (1030 * MS, 1130 * MS):
            messages = [
                changed(m, change) if "back/image" in m.topic and m.stamp_ns == at_ns else m
                for m in recorded(SmallRig(3), True)
            ]
            source = RosbagSource(write_messages(tmp_path / f"{number}_{at_ns}", messages))
            sizes = [len(frame.images) for frame in source.frames()]
            assert sizes == [3 if 1030 + 100 * k == at_ns // MS else 4 for k in range(3)]
            assert all(image.rgb().shape == (20, 32, 3) for f in source.frames() for image in f.images.values())
            (note,) = source.notes
            assert "3 images on /back/image_raw/compressed, 1 left out" in note and said in note


def test_bag_without_anything_usable_says_why(tmp_path: Path) -> None:
    unset = [replace(m, data=restamp(m, 0)) if "image_raw" in m.topic else m for m in recorded(SmallRig(2))]
    source = RosbagSource(write_messages(tmp_path / "bag", unset))
    for read in (lambda: list(source.frames()), lambda: len(source), lambda: list(source.frames(0, 1))):
        with pytest.raises(FsmdeError, match=r"no images that can be used: .*2 images on each of") as no:
            read()
        said = str(no.value)
        assert "/front/image_raw, /" in said and "stamp is 0 ns" in said and len(said) < 900


def test_the_same_fault_found_by_pass_and_by_frame_is_counted_once_each(tmp_path: Path) -> None:
    """A sweep without points is judged when it is read, one of NaN alone when its frame is made."""
    empty = on("lidar/points", with_values(width=0, row_step=0, data=np.zeros(0, np.uint8)))
    nan = on("lidar/points", with_values(data=np.full(600, 255, np.uint8)))
    sweeps = itertools.count()
    messages = [(empty, nan)[next(sweeps) % 2](m) if m.topic == "lidar/points" else m for m in recorded(SmallRig(24))]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    for _ in range(2):
        assert without_lidar(list(source.frames())) == list(range(24))
        assert (source.counts.sweeps.read, source.counts.sweeps.used) == (12, 0)


def test_a_camera_info_without_a_frame_takes_that_of_the_images(tmp_path: Path) -> None:
    unnamed = [
        on(f"{name}/camera_info", in_frame(""))(m) for m in recorded(SmallRig(2)) for name in [m.topic.split("/")[0]]
    ]
    renamed_frames = [
        changed(m, in_frame(f"eye_{m.topic.split('/')[0]}")) if m.topic.endswith("image_raw") else m for m in unnamed
    ]

    def mounts(content: Any) -> None:
        for entry in content.transforms:
            entry.child_frame_id = re.sub("(.*)_optical", r"eye_\1", entry.child_frame_id)

    messages = [changed(m, mounts) if m.topic == "/tf_static" else m for m in renamed_frames]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    assert [camera.frame_id for camera in source.rig.cameras] == [f"eye_{name}" for name in source.rig.names]
    for ours, theirs in zip(source.frames(), SmallRig(2).frames(), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("first", [None, 40])
def test_a_depth_camera_is_known_by_its_encoding_in_any_case_and_behind_a_broken_image(
    tmp_path: Path, first: int | None
) -> None:
    deep = on("left/image_raw", with_values(encoding="16uc1"))
    messages = [deep(m) for m in recorded(SmallRig(3))]
    if first is not None:
        messages = [cut("left/image_raw", first)(m) if m.stamp_ns < 1100 * MS else m for m in messages]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    assert source.rig.names == ("front", "right", "back")
    assert any(
        "camera 'left' on /left/image_raw that was left out: its images hold depth (16uc1)" in n for n in source.notes
    )


def test_a_lens_that_turns_back_from_some_message_on_is_noted_once(tmp_path: Path) -> None:
    fold = on(
        "front/camera_info",
        with_values(d=np.array([-1 / 3, 0, 0, 0, 0]), k=np.array([12.0, 0, 15.5, 0, 12, 9.5, 0, 0, 1])),
    )
    messages = [fold(m) if m.stamp_ns > 1150 * MS else m for m in recorded(SmallRig(4))]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    assert not [note for note in source.notes if "turns back" in note]
    for _ in range(2):
        assert len(list(source.frames())) == 4
        (note,) = [note for note in source.notes if "turns back" in note]
        assert "camera 'front': its plumb_bob lens turns back at 45.0 degrees" in note
