"""Damaged bags: read up to the damage, which is reported."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from mcap.writer import CompressionType

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.mcap_index import read_index
from support.bags import S, WideRig, mcap, recorded, stamps, storage_file, write_bag
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
