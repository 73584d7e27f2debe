"""Keeps records in a file beside the result to come, so that an interrupted run goes on."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.results.document import explained_write_errors, write_document
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.sources.registry import FrameRange

RecordMaker = Callable[[FrameRange, "int | None"], Iterator[FrameRecord]]
"""Makes the records of frames in order, given `frames` and `after` as for `frame_records`."""


class PartialResult:
    """Keeps records in `<result>.partial.jsonl`, which appears with the first record.

    A first line holds `settings`, all that the numbers depend on; then comes one with each record and its checksum. A
    last line without an end, as a killed run leaves it, is cut off. FsmdeError when the file that is there is of
    something else, unless `fresh`.
    """

    def __init__(self, result: Path, settings: Mapping[str, Any], fresh: bool = False) -> None:
        self.path = result.with_name(result.name + ".partial.jsonl")
        self._result = result
        self.kept = 0
        """Number of records that an interrupted run left."""
        self._first_line = json.dumps(settings).encode() + b"\n"
        with explained_write_errors(self.path):
            if fresh:
                self.path.unlink(missing_ok=True)
            if self.path.exists():
                self._check()

    def _check(self) -> None:
        with self.path.open("r+b") as file:
            first_line = file.readline()
            if first_line != self._first_line:
                raise FsmdeError(
                    f"{self.path} holds the beginning of {_difference(first_line, self._first_line)}; run that command "
                    "again to finish it, add --fresh to begin anew, or give another --json"
                )
            size = len(first_line)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(size)
                    break
                size += len(line)

    def resume(self, frames: FrameRange, make_records: RecordMaker) -> Iterator[FrameRecord]:
        # the records of an interrupted run, then the others as they are made
        start, after = frames[0], None
        for record in self.records():
            self.kept += 1
            yield record
            after = record.index
            if record.sampled:
                start = record.index  # steadiness compares the next sample with it
        for record in make_records((start, frames[1]), after):
            self.append(record)
            yield record

    def records(self) -> Iterator[FrameRecord]:
        """Yield the records that are there; FsmdeError when a line is broken."""
        if not self.path.exists():
            return
        with self.path.open("rb") as lines:
            next(lines)
            for number, line in enumerate(lines, start=2):
                record = line.partition(b",")[2][:-2]
                if line != _line(record):
                    raise FsmdeError(f"{self.path} is damaged in line {number}; begin anew with --fresh")
                yield FrameRecord.from_json(record.decode())

    def append(self, record: FrameRecord) -> None:
        """Write one record through to the file; FsmdeError where there is no room for it."""
        with explained_write_errors(self.path):
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                if is_new:
                    file.write(self._first_line)
                file.write(_line(record.to_json().encode()))

    def finish(self, document: Mapping[str, Any]) -> None:
        """Put the result where it belongs, at once, and remove this file."""
        write_document(self._result, document)
        self.discard()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def _line(record: bytes) -> bytes:
    return b"[%d,%b]\n" % (zlib.crc32(record), record)


def _difference(found: bytes, expected: bytes) -> str:
    """Say in which settings two first lines differ."""
    try:
        theirs, ours = json.loads(found), json.loads(expected)
        keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    except (ValueError, AttributeError, TypeError):
        return "something that is no evaluation"
    changed = [f"{key} {theirs.get(key)} instead of {ours.get(key)}" for key in keys if key != "environment"]
    return f"another evaluation ({', '.join(changed) or 'other versions or another machine'})"
