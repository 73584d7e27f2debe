"""Reads a recording's files as one stream of messages in order of time, up to the damage of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.rosbag.storage.find import find_files
from fsmde_core.sources.rosbag.storage.mcap_file import McapFile
from fsmde_core.sources.rosbag.storage.records import BagMessage, DamagedFileError, in_time_order
from fsmde_core.sources.rosbag.storage.sqlite_file import SqliteFile

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins with these bytes


class Bag:
    """Reads all files of a bag. `topics` maps each topic that has messages to its type; `notes` are known problems.

    Files whose name ends in `.zstd` (rosbag2's compression mode `file`) are unpacked into the system's temporary folder
    for as long as the bag is in use. Raises FsmdeError when there is no bag at `path`, or nothing of it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        paths, problems = find_files(self.path)
        self._damage = {sentence: sentence for sentence in problems}
        self._notes: list[str] = []
        self._unpacked: TemporaryDirectory[str] | None = None
        opened = [self._open(path) for path in paths]
        self._files = sorted((file for file in opened if file), key=lambda file: file.start_ns)
        self.topics = {topic: kind for file in self._files for topic, kind in file.topics.items()}
        if not self._files:
            raise FsmdeError(f"the bag {self.path} cannot be read: {'; '.join(self.notes)}")
        if not self.topics:
            foreign = sorted({encoding for file in self._files for encoding in file.foreign})
            what = f"only messages encoded as {foreign}, expected 'cdr' of ROS 2" if foreign else "no messages"
            raise self.error(f"holds {what}; record the rig's topics")

    @property
    def notes(self) -> list[str]:
        return [*self._damage.values(), *self._notes]

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Read messages of `topics` in order of the time they were recorded; a damaged file ends early, with a note."""
        wanted = set(topics)
        return in_time_order((file.start_ns, partial(self._file_messages, file, wanted)) for file in self._files)

    def note(self, what: str) -> None:
        """Add a note on the bag; `what` follows its name in the sentence."""
        self._notes.append(f"the bag {self.path} {what}")

    def note_damage(self, where: str, what: str) -> None:
        # Replaces what was noted of the topic or frame `where` before.
        self._damage[where] = f"the bag {self.path} {what}"

    def error(self, what: str) -> FsmdeError:
        """Make the error that says `what` the bag lacks, and which damage is known, which may be the cause."""
        return FsmdeError(f"the bag {self.path} {what}" + "".join(f" ({damage})" for damage in self._damage.values()))

    def _open(self, path: Path) -> McapFile | SqliteFile | None:
        try:
            path = self._unpack(path) if path.suffix == ".zstd" else path
            file = McapFile(path) if path.suffix == ".mcap" else SqliteFile(path)
        except (DamagedFileError, OSError) as error:
            self._damage[str(path)] = f"{path} cannot be read: {error}"
            return None
        if file.damage:
            self._damage[str(path)] = f"{path} is {file.damage}"
        return file

    def _unpack(self, path: Path) -> Path:
        import zstandard

        self._unpacked = self._unpacked or TemporaryDirectory(prefix="fsmde_bag_")
        # Bags in one folder may have files of one name.
        target = Path(self._unpacked.name) / str(len(list(Path(self._unpacked.name).iterdir()))) / path.stem
        target.parent.mkdir()
        try:
            with path.open("rb") as packed, target.open("wb") as file:
                zstandard.ZstdDecompressor().copy_stream(packed, file)
        except zstandard.ZstdError as error:
            raise DamagedFileError(f"its compression is damaged ({error})") from error
        return target

    def _file_messages(self, file: McapFile | SqliteFile, topics: Collection[str]) -> Iterator[BagMessage]:
        reached_ns = file.start_ns
        try:
            for record in file.messages(topics):
                reached_ns = record.time_ns
                yield record if record.data[:4] != ZSTD_MAGIC else record._replace(data=_decompressed(record))
        except (DamagedFileError, OSError) as error:
            seconds = (reached_ns - file.start_ns) * 1e-9
            self._damage[str(file.path)] = (
                f"{file.path} is {error}; read up to there, {seconds:.1f} s after its start, the rest was left out"
            )


def _decompressed(record: BagMessage) -> bytes:
    """Decompress a message that rosbag2 compressed by itself (compression mode `message`)."""
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompress(record.data)
    except zstandard.ZstdError as error:
        raise DamagedFileError(f"damaged in a compressed message on {record.topic} ({error})") from error
