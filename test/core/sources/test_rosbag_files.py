"""A bag's files: several of them, other writers' layouts, and memory that does not grow with the recording."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zstandard
from mcap.writer import CompressionType, IndexType, Writer

from fsmde_core.errors import FsmdeError
from fsmde_core.messages.encode import IMAGE, Message
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.rosbag.sensors import deserialized
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.mcap_index import read_index
from fsmde_core.sources.rosbag.storage.records import BagMessage, in_time_order
from support.bags import MS, Arrange, WideRig, cloud, mcap, recorded, stamps, storage_file, write_bag, write_messages
from support.small_rig import SmallRig

TICK = "/tick"


def parts(folder: Path, storage: str, bounds: list[int]) -> list[Path]:
    """The small rig's frames 0 to bounds[-1], one bag for every stretch between two bounds."""
    whole = list(recorded(SmallRig(bounds[-1])))
    made = []
    for number, (start, stop) in enumerate(zip([0, *bounds], bounds, strict=False)):
        limits = [(1000 + 100 * index) * MS for index in (start, stop)]
        own = [message for message in whole if limits[0] <= message.stamp_ns < limits[1]]
        made.append(write_messages(folder / f"part{number}", own, storage=storage))
    return made


def split_bag(path: Path, storage: str, bounds: list[int]) -> list[Path]:
    """One bag's folder whose recording is split over several files; returns these."""
    path.mkdir()
    pieces = parts(path.parent, storage, bounds)
    files = [path / f"bag_{number}{storage_file(piece).suffix}" for number, piece in enumerate(pieces)]
    for piece, file in zip(pieces, files, strict=True):
        shutil.copy(storage_file(piece), file)
    metadata = yaml.safe_load((pieces[0] / "metadata.yaml").read_text())
    metadata["rosbag2_bagfile_information"]["relative_file_paths"] = [file.name for file in files]
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return files


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_split_recordings_are_one(tmp_path: Path, storage: str) -> None:
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(9))))
    split_bag(tmp_path / "split", storage, [2, 5, 9])
    source = RosbagSource(tmp_path / "split")
    assert stamps(source) == expected and len(source) == 9 and source.notes == []


def test_bags_in_one_folder_are_one_recording_in_order_of_time(tmp_path: Path) -> None:
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(9))))
    folder = tmp_path / "drive"
    first, second, third = parts(folder, "mcap", [2, 5, 9])
    first.rename(folder / "z")
    shutil.move(storage_file(third), folder / "a.mcap")
    shutil.rmtree(third)
    source = RosbagSource(folder)
    assert stamps(source) == expected
    assert source.notes == [f"{folder} has no metadata.yaml: its files were taken in order of time"]
    assert second.exists()


def test_missing_file_of_a_split_bag_is_noted(tmp_path: Path) -> None:
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(9))))
    files = split_bag(tmp_path / "split", "mcap", [2, 5, 9])
    files[1].unlink()
    source = RosbagSource(tmp_path / "split")
    assert stamps(source) == expected[:2] + expected[5:]
    (note,) = source.notes
    assert "bag_1.mcap is missing" in note and "left out" in note
    for file in (files[0], files[2]):
        file.unlink()
    with pytest.raises(FsmdeError, match=r"is no rosbag2.*bag_0.mcap is missing"):
        RosbagSource(tmp_path / "split")


@pytest.mark.parametrize("text", ["", "version: [", "rosbag2_bagfile_information: {}", "just text"])
def test_broken_metadata_is_noted(tmp_path: Path, text: str) -> None:
    path = write_bag(tmp_path / "bag", SmallRig(3))
    (path / "metadata.yaml").write_text(text)
    source = RosbagSource(path)
    assert len(source) == 3
    (note,) = source.notes
    assert "metadata.yaml cannot be read" in note and "\n" not in note


def test_compression_of_files_and_of_messages(tmp_path: Path) -> None:
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(3), storage="sqlite3")))
    packed = write_bag(tmp_path / "files", SmallRig(3), storage="sqlite3")
    file = storage_file(packed)
    file.with_name(file.name + ".zstd").write_bytes(zstandard.compress(file.read_bytes()))
    file.unlink()
    (packed / "metadata.yaml").write_text((packed / "metadata.yaml").read_text().replace(".db3", ".db3.zstd"))
    assert stamps(RosbagSource(packed)) == expected
    small = [replace(message, data=zstandard.compress(bytes(message.data))) for message in recorded(SmallRig(3))]
    assert stamps(RosbagSource(write_messages(tmp_path / "messages", small))) == expected


def test_one_damaged_file_of_several_ends_alone(tmp_path: Path) -> None:
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(9))))
    files = split_bag(tmp_path / "split", "mcap", [2, 5, 9])
    files[1].write_bytes(b"")
    source = RosbagSource(tmp_path / "split")
    assert stamps(source) == expected[:2] + expected[5:]
    (note,) = source.notes
    assert "bag_1.mcap cannot be read" in note


def by_topic(messages: list[Message]) -> list[Message]:
    return sorted(messages, key=lambda message: message.topic)


def backwards(messages: list[Message]) -> list[Message]:
    return messages[::-1]


@pytest.mark.parametrize("arrange", [list, by_topic, backwards])
@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.NONE, "chunk_size": 4000},
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD, "chunk_size": 9000},
        {"use_chunking": False},
        {"index_types": IndexType.NONE, "chunk_size": 4000},
        {"use_statistics": False, "chunk_size": 4000},
        {"repeat_channels": False, "repeat_schemas": False, "chunk_size": 4000},
    ],
)
def test_every_layout_of_mcap_is_read_in_order_of_time(
    tmp_path: Path, options: dict[str, Any], arrange: Arrange
) -> None:
    messages = sorted(recorded(SmallRig(6)), key=lambda message: message.stamp_ns)
    source = RosbagSource(mcap(tmp_path / "bag.mcap", messages, arrange, **options))
    assert stamps(source) == [frame.stamp_ns for frame in SmallRig(6).frames()] and source.notes == []
    bag = Bag(tmp_path / "bag.mcap")
    times = [record.time_ns for record in bag.messages(bag.topics)]
    assert times == sorted(message.stamp_ns for message in messages)


def test_foreign_encodings_are_named(tmp_path: Path) -> None:
    with (tmp_path / "bag.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema("sensor_msgs/Image", "ros1msg", b"")
        channel = writer.register_channel("/front/image_raw", "ros1", schema)
        writer.add_message(channel, 5, b"123", 5)
        writer.finish()
    with pytest.raises(FsmdeError, match=r"only messages encoded as \['ros1'\], expected 'cdr'"):
        RosbagSource(tmp_path / "bag.mcap")


def test_merging_opens_a_piece_when_it_is_reached() -> None:
    opened: list[int] = []

    def piece(number: int, *times: int) -> tuple[int, Callable[[], Iterator[BagMessage]]]:
        def open_piece() -> Iterator[BagMessage]:
            opened.append(number)
            return iter([BagMessage(time, str(number), b"") for time in times])

        return times[0] if times else 8, open_piece

    merged = in_time_order([piece(0, 1, 4, 9), piece(1, 3, 4, 5), piece(2), piece(3, 9, 10)])
    assert [(r.time_ns, r.topic) for r in islice(merged, 2)] == [(1, "0"), (3, "1")] and opened == [0, 1]
    rest = [(r.time_ns, r.topic) for r in merged]
    assert rest == [(4, "0"), (4, "1"), (5, "1"), (9, "0"), (9, "3"), (10, "3")] and opened == [0, 1, 2, 3]


def test_frames_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frames come before the rest is read."""
    source = RosbagSource(write_bag(tmp_path / "bag", SmallRig(200)))
    seen: list[BagMessage] = []
    messages = source._bag.messages
    monkeypatch.setattr(source._bag, "messages", lambda topics: (seen.append(r) or r for r in messages(topics)))
    assert len(list(islice(source.frames(), 2))) == 2
    assert len(seen) < 60


def peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, storage: str) -> None:
    peaks = []
    for count in (40, 160):  # 14 MB and 58 MB
        path = write_bag(tmp_path / str(count), WideRig(count), storage=storage)
        peaks.append(peak_bytes(lambda path=path: [frame.stamp_ns for frame in RosbagSource(path).frames()]))
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < 12e6


def test_index_takes_a_few_bytes_per_chunk_and_none_per_message(tmp_path: Path) -> None:
    def size(count: int, chunk_size: int) -> int:
        ticks = [Message(TICK, "std_msgs/msg/Empty", k * MS, bytes(8)) for k in range(count)]
        path = mcap(tmp_path / f"{count}_{chunk_size}.mcap", ticks, chunk_size=chunk_size)
        index = None

        def run() -> None:
            nonlocal index
            index = read_index(path)

        peak = peak_bytes(run)
        assert index is not None and len(index.starts) == (count if chunk_size == 1 else 1)
        return peak

    few, many = size(1000, 1), size(11000, 1)
    assert many - few < 10_000 * 64  # three numbers of 8 bytes, and arrays grow by an eighth more than they need
    assert abs(size(20000, 1 << 24) - size(1000, 1 << 24)) < 20_000


def test_sweeps_without_images_are_not_kept(tmp_path: Path) -> None:
    """The cameras fail, the lidar goes on: its sweeps are not waited for without end."""
    early = list(recorded(SmallRig(3)))
    sweeps = [cloud((1300 + 100 * k) * MS, "base_link", np.zeros((20_000, 3))) for k in range(100)]  # 24 MB
    path = write_messages(tmp_path / "bag", [*early, *sweeps])
    source = RosbagSource(path)
    assert peak_bytes(lambda: list(source.frames())) < 8e6


def test_single_camera_at_the_root(tmp_path: Path) -> None:
    messages = [
        replace(m, topic=m.topic.removeprefix("front/")) for m in recorded(SmallRig(2), drop="^(left|right|back)/")
    ]
    assert RosbagSource(write_messages(tmp_path / "bag", messages)).rig.names == ("camera",)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_files_beside_the_metadata_are_read_whatever_it_lists(tmp_path: Path, storage: str) -> None:
    """A file of another name, one that is not listed, and packed ones that were unpacked by hand."""
    expected = stamps(RosbagSource(write_bag(tmp_path / "whole", SmallRig(9))))
    files = split_bag(tmp_path / "renamed", storage, [2, 5, 9])
    files[1].rename(files[1].with_stem("evening"))
    source = RosbagSource(tmp_path / "renamed")
    assert stamps(source) == expected
    missing, unlisted = source.notes
    assert f"{files[1]} is missing" in missing and "may be a file that is not listed" in missing
    assert f"evening{files[1].suffix} was read, although" in unlisted and "metadata.yaml does not list it" in unlisted

    for name, kept in (("unpacked", False), ("copied", True)):
        folder = tmp_path / name
        folder.mkdir()
        split_bag(folder / "bag", storage, [2, 5, 9])
        metadata = folder / "bag" / "metadata.yaml"
        metadata.write_text(metadata.read_text().replace(files[0].suffix, files[0].suffix + ".zstd"))
        if kept:
            for file in (folder / "bag").glob(f"*{files[0].suffix}"):
                file.with_name(file.name + ".zstd").write_bytes(zstandard.compress(file.read_bytes()))
        source = RosbagSource(folder / "bag")
        assert stamps(source) == expected and source.notes == []
        assert source.counts.images.left_out == {}

    (tmp_path / "more").mkdir()
    split_bag(tmp_path / "more" / "unlisted", storage, [2, 5, 9])
    metadata = tmp_path / "more" / "unlisted" / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text())
    content["rosbag2_bagfile_information"]["relative_file_paths"] = [files[0].name]
    metadata.write_text(yaml.safe_dump(content))
    source = RosbagSource(tmp_path / "more" / "unlisted")
    assert stamps(source) == expected and len(source.notes) == 2


def test_messages_are_not_copied(tmp_path: Path) -> None:
    """The generated code of rosbags copies a message that it is given as bytes."""
    path = write_bag(tmp_path / "bag", WideRig(1))
    record = next(Bag(path).messages(["/front/image_raw"]))
    message = deserialized(record, IMAGE)
    assert np.shares_memory(message.data, np.frombuffer(record.data, np.uint8))
