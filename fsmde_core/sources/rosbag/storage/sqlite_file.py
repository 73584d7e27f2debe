"""Reads one sqlite3 file of a bag along its index of time stamps."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from fsmde_core.sources.rosbag.storage.records import BagMessage, DamagedFileError, ros_names


class SqliteFile:
    """Reads one file; its attributes are those of McapFile.

    Raises DamagedFileError when it is no database of rosbag2, OSError when it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size, whole = path.stat().st_size, self._expected_size()
        self.damage = f"cut off at byte {size} of {whole}" if size < whole else None
        # The index of time stamps moves about in the file while it grows; of a file cut off it may be lost as a whole.
        self._order = "id" if self.damage else "timestamp"
        self._ids: dict[int, str] = {}
        self.topics: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.start_ns = 0
        with self._database() as database:
            self._read_topics(database)

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Read messages of `topics` in order of recording time; DamagedFileError where they cannot be read on."""
        ids = [number for number, topic in self._ids.items() if topic in topics]
        wanted = ",".join("?" * len(ids))
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({wanted}) ORDER BY {self._order}"
        with self._database() as database:
            for number, time_ns, data in database.execute(query, ids):
                yield BagMessage(time_ns, self._ids[number], data)
        if self.damage:
            raise DamagedFileError(self.damage)

    def _expected_size(self) -> int:
        """Read the size from the file's header: page size at byte 16 (1 means 65536), number of pages at byte 28."""
        with self.path.open("rb") as file:
            head = file.read(32)
        page = int.from_bytes(head[16:18], "big")
        return (page if page > 1 else 65536) * int.from_bytes(head[28:32], "big")

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        # A file on a medium that cannot be written opens only as immutable, one with a log beside it only without.
        logged = self.path.with_name(self.path.name + "-wal").exists()
        uri = f"{self.path.absolute().as_uri()}?mode=ro{'' if logged else '&immutable=1'}"
        try:
            with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as database:
                database.execute("PRAGMA writable_schema=ON")  # else SQLite refuses a file that was cut off, all of it
                yield database
        except sqlite3.Error as error:
            raise DamagedFileError(f"{self.damage or 'damaged'} ({error})") from error

    def _read_topics(self, database: sqlite3.Connection) -> None:
        rows = database.execute("SELECT id, name, type, serialization_format FROM topics")
        for number, topic, kind, encoding in rows:
            if encoding != "cdr":
                self.foreign.add(encoding)
                continue
            with suppress(sqlite3.Error):  # damaged before its first message: none to be read
                if database.execute("SELECT 1 FROM messages WHERE topic_id = ? LIMIT 1", [number]).fetchone():
                    topic, kind = ros_names(topic, kind)
                    self._ids[number] = topic
                    self.topics[topic] = kind
        with suppress(sqlite3.Error):
            first = database.execute(f"SELECT timestamp FROM messages ORDER BY {self._order} LIMIT 1").fetchone()
            self.start_ns = first[0] if first else 0
