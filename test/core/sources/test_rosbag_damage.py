"""Damaged bags: read up to the damage, which is reported."""

from __future__ import annotations

import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import TF_STATIC_TOPIC, Message, restamp
from fsmde_core.rig.geometry import rigid
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.mcap_index import read_index
from support.bags import (
    MS,
    Change,
    S,
    WideRig,
    changed,
    in_frame,
    mcap,
    recorded,
    stamps,
    storage_file,
    transforms,
    with_values,
    write_bag,
    write_messages,
)
from support.small_rig import SmallRig


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_cut_off_bag_is_read_up_to_the_cut(tmp_path: Path, storage: str, share: float) -> None:
    """Half a megabyte per set, so that sets and mcap's chunks of one megabyte end at different places."""
    path = write_bag(tmp_path / "bag", WideRig(30), storage=storage)
    expected = stamps(RosbagSource(path))
    file = storage_file(path)
    size = int(file.stat().st_size * share)
    with file.open("r+b") as open_file:
        open_file.truncate(size)
    (path / "metadata.yaml").unlink()
    source = RosbagSource(path)
    read = stamps(source)
    assert len(read) == len(source)
    assert read[:-1] == expected[: len(read) - 1]  # of the last set only a part may be there
    assert 30 * share - 5 < len(read) <= 30 * share + 1
    (note,) = [note for note in source.notes if "cut off" in note]
    assert str(file) in note and "the rest was left out" in note
    seconds = float(note.split("read up to there, ")[1].split(" s after its start")[0])
    assert abs(seconds - (read[-1] - S) * 1e-9) <= 0.15
    at = int(note.split("at byte ")[1].split(" ")[0].rstrip(";"))
    assert at == size if storage == "sqlite3" else size - (3 << 20) < at <= size


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("size", [0, 5, 60])
def test_bag_that_ends_before_its_first_message_says_so(tmp_path: Path, storage: str, size: int) -> None:
    path = write_bag(tmp_path / "bag", SmallRig(), storage=storage)
    file = storage_file(path)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(FsmdeError, match=r"cannot be read|holds no messages.*cut off"):
        RosbagSource(path)


def test_page_of_a_database_that_is_damaged(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", WideRig(20), storage="sqlite3")
    expected = stamps(RosbagSource(path))
    file = storage_file(path)
    with sqlite3.connect(file) as database:
        (row,) = database.execute("SELECT id FROM messages WHERE timestamp >= 2000000000 ORDER BY timestamp").fetchone()
        (page,) = database.execute("PRAGMA page_size").fetchone()
    whole = bytearray(file.read_bytes())
    for start in range(len(whole) // 2 // page * page, len(whole), 16 * page):  # pages of the later half
        whole[start : start + 64] = b"\xff" * 64
    file.write_bytes(whole)
    source = RosbagSource(path)
    read = stamps(source)
    assert row > 0 and 5 < len(read) < 14 and read[:-1] == expected[: len(read) - 1]
    (note,) = source.notes
    assert "is damaged (database disk image is malformed)" in note


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
@pytest.mark.parametrize("summary", [True, False])
def test_chunk_with_a_wrong_checksum_ends_the_file(tmp_path: Path, compression: CompressionType, summary: bool) -> None:
    messages = sorted(recorded(SmallRig(12)), key=lambda message: message.stamp_ns)
    path = mcap(tmp_path / "bag.mcap", messages, compression=compression, chunk_size=9000)
    index = read_index(path)
    whole = bytearray(path.read_bytes())
    broken = index.offsets[len(index.offsets) // 2]
    whole[broken + index.lengths[len(index.offsets) // 2] - 20] ^= 0x55
    path.write_bytes(whole if summary else whole[:-8])  # without the magic at its end a summary is not trusted
    source = RosbagSource(path)
    read = stamps(source)
    assert 3 < len(read) < 9
    (note,) = source.notes
    assert f"is damaged at byte {broken} (" in note
    assert len(source) == len(read) and len(source.notes) == 1


@pytest.mark.parametrize("opcode", [7, 0x55])
def test_chunk_that_is_none_any_more_ends_the_file(tmp_path: Path, opcode: int) -> None:
    """Of a record of any other kind, known or not, nothing would be read."""
    messages = sorted(recorded(SmallRig(12)), key=lambda message: message.stamp_ns)
    path = mcap(tmp_path / "bag.mcap", messages, chunk_size=9000)
    broken = (index := read_index(path)).offsets[len(index.offsets) // 2]
    whole = bytearray(path.read_bytes())
    whole[broken] = opcode
    path.write_bytes(whole)
    source = RosbagSource(path)
    assert 3 < len(stamps(source)) < 9
    (note,) = source.notes
    assert f"is damaged at byte {broken} (a record of kind {opcode} where" in note


def test_interrupted_write_ahead_log_is_read(tmp_path: Path) -> None:
    """rosbag2's preset `resilient`: what was recorded last may lie beside the database when the recorder died."""
    path = write_bag(tmp_path / "bag", SmallRig(6), storage="sqlite3")
    file = storage_file(path)
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("UPDATE messages SET timestamp = timestamp + 5000000000")
    database.commit()
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    database.close()
    bag = Bag(copy)
    assert min(record.time_ns for record in bag.messages(bag.topics)) > 5 * S


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("compressed", [True, False])
def test_messages_that_are_damaged_at_random_cost_themselves(tmp_path: Path, seed: int, compressed: bool) -> None:
    order = random.Random(seed)

    def damaged(message: Message) -> Message:
        data = bytearray(message.data)
        start = order.randrange(len(data))
        stop = start + order.randrange(1, 300)
        noise = order.randbytes(len(data[start:stop]))
        kinds = (data[:start], data[:start] + noise + data[stop:], order.randbytes(order.randrange(200)))
        return replace(message, data=bytes(order.choice(kinds)))

    whole = list(recorded(SmallRig(12), compressed))
    messages = [damaged(m) if order.random() < 0.08 and m.stamp_ns > 1100 * MS else m for m in whole]
    source = RosbagSource(write_messages(tmp_path / "bag", messages))
    frames = list(source.frames())
    assert 9 <= len(frames) <= len(source)
    assert all(image.rgb().shape == (20, 32, 3) for frame in frames for image in frame.images.values())
    for _, count in source.counts:
        assert 0 < count.used <= count.read
    assert source.counts.images.used == sum(len(frame.images) for frame in frames)
    assert source.counts.sweeps.used == sum(frame.lidar is not None for frame in frames)


def nan_translation(content: Any) -> None:
    for entry in content.transforms:
        entry.transform.translation.x = float("nan")


def lifted(content: Any) -> None:
    for entry in content.transforms:
        entry.transform.translation.z += 0.25


# Frame, topic, change (or new stamp, or bytes that are left) -> what the notes say of it.
FAULTS: list[tuple[int, str, Change | int | slice, str]] = [
    (5, "back/image_raw", slice(60), "/back/image_raw, 2 left out, the first of stamp 1.530: a message of 60 bytes"),
    (
        6,
        "back/image_raw",
        with_values(encoding="mono12"),
        "/back/image_raw, 2 left out, the first of stamp 1.630: image enc",
    ),
    (7, "right/image_raw", with_values(width=30), "the image is 30x20, its calibration is for 32x20"),
    (8, "back/image_raw", 0, "the image's stamp is 0 ns, expected the time of exposure"),
    (9, "back/image_raw", 3600 * S, "/back/image_raw, 1 left out, their stamps lie 3598070 ms ahead"),
    (10, "back/image_raw", with_values(data=np.zeros(9, np.uint8)), "/back/image_raw, 2 left out"),
    (11, "back/image_raw", slice(3), "/back/image_raw, 2 left out"),
    (0, "left/camera_info", with_values(k=np.zeros(9)), "1 messages on /left/camera_info that were left out"),
    (12, "right/camera_info", with_values(k=np.full(9, np.nan)), "2 messages on /right/camera_info"),
    (13, "right/camera_info", slice(30), "2 messages on /right/camera_info that were left out"),
    (
        20,
        "front/camera_info",
        with_values(k=np.array([27.0, 0, 16, 0, 27, 10, 0, 0, 1])),
        "camera 'front' that changes",
    ),
    (2, "lidar/points", with_values(width=0), "/lidar/points, 2 left out, the first of stamp 1.265: it has no points"),
    (4, "lidar/points", with_values(fields=[]), "/lidar/points, 1 left out, the first of stamp 1.465: "),
    (
        6,
        "lidar/points",
        with_values(data=np.zeros(5, np.uint8)),
        "/lidar/points, 1 left out, the first of stamp 1.665: ",
    ),
    (
        8,
        "lidar/points",
        in_frame("roof"),
        "/lidar/points, 1 left out, the first of stamp 1.865: /tf_static does not join 'roof'",
    ),
    (10, "lidar/points", with_values(data=np.full(600, 255, np.uint8)), "/lidar/points, 2 left out"),
    (12, "lidar/points", 0, "the sweep's stamp is 0 ns, expected the time of the sweep"),
    (14, "lidar/points", 3600 * S, "stamps lie 3597.5 s from the images recorded beside them"),
    (7, "/tf", nan_translation, "'base_link' in 'odom' that were left out: "),
    (9, "/tf", slice(40), "has messages on /tf that were left out"),
]


def test_a_bag_of_many_faults_loses_nothing_that_is_good(tmp_path: Path) -> None:
    messages: list[Message] = []
    for m in recorded(SmallRig(30)):
        number = (m.stamp_ns // MS - 1000) // 100
        for at, topic, change, _ in FAULTS:
            if (at, topic) == (number, m.topic):
                if isinstance(change, int):
                    m = replace(m, data=restamp(m, change))
                elif isinstance(change, slice):
                    m = replace(m, data=bytes(m.data)[change])
                else:
                    m = changed(m, change)
        if number >= 20 and m.topic == "front/camera_info":
            m = changed(m, FAULTS[10][2])  # type: ignore[arg-type]
        messages.append(m)
    for name, topics in (("dash", "/image"), ("drone", "/"), ("front/depth", "/")):
        beside = [
            replace(m, topic=m.topic.replace("left", name))
            for m in recorded(SmallRig(30))
            if m.topic.startswith(f"left{topics}")
        ]
        messages += [changed(m, in_frame(name)) for m in beside]
    messages = [
        changed(m, with_values(encoding="16UC1")) if m.topic == "front/depth/image_raw" else m for m in messages
    ]
    for stamp in range(1000, 4000, 50):
        messages.append(transforms(stamp * MS, ("map", "base_link", rigid(np.eye(3), (stamp, 0, 0)))))
        messages.append(replace(transforms(stamp * MS, ("odom", "base_link", np.eye(4))), topic="/other/tf"))
    messages.append(transforms(1500 * MS, ("back_optical", "base_link", np.eye(4)), topic=TF_STATIC_TOPIC))
    messages.append(Message("/tf", messages[-1].type, 1600 * MS, transforms(0, ("odom", "base_link", np.eye(4))).data))
    messages = [
        m for m in messages if m.topic != "back/image_raw" or m.stamp_ns < 3590 * MS
    ]  # the camera fails at last

    path = write_messages(tmp_path / "bag", sorted(messages, key=lambda m: m.stamp_ns))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("bag.mcap", "other.mcap"))
    source = RosbagSource(path)
    frames = list(source.frames())

    lost = {(at, topic.split("/")[0]) for at, topic, _, _ in FAULTS if "image" in topic or "points" in topic}
    lost |= {(at, "back") for at in range(26, 30)}
    names = ["front", "right", "back", "left"]
    assert [list(f.images) for f in frames] == [[n for n in names if (k, n) not in lost] for k in range(30)]
    assert [f.index for f in frames if f.lidar] == [k for k in range(0, 30, 2) if (k, "lidar") not in lost]
    assert [f.rig["front"].fx for f in frames] == [30] * 20 + [27] * 10
    for frame in frames:
        for name, image in frame.images.items():
            np.testing.assert_allclose(frame.T_world_base[name], SmallRig.pose(image.stamp_ns), atol=2e-3)
    notes = "\n".join(source.notes)
    missing = [said for *_, said in FAULTS if said not in notes]
    more = [
        "/dash/image_raw that was left out: nothing on /dash/camera_info",
        "'drone' on /drone/image_raw that was left out: /tf_static does not join",
        "on /front/depth/image_raw that was left out: its images hold depth",
        "several parents of 'base_link', 'odom' and 'map'",
        "has transforms on ['/other/tf'] that were left out",
        "'back_optical' is itself below 'base_link'",
        "the transform's stamp is 0 ns",
        "other.mcap is missing",
        "bag.mcap was read, although",
    ]
    assert missing == [] and [said for said in more if said not in notes] == [], notes
