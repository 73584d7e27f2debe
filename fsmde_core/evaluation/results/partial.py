"""Results on their way: records in a file beside the result to come, so that an interrupted run goes on."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.results.document import write_document, writing
from fsmde_core.evaluation.results.record import FrameRecord


class PartialResult:
    """`<result>.partial.jsonl`: a first line with what was asked, then one with each record and its checksum; it
    appears with the first record.

    A last line without an end, as a killed run leaves it, is cut off.
    """

    def __init__(self, result: Path, asked: Mapping[str, Any], fresh: bool = False) -> None:
        """asked: all that the numbers depend on. FsmdeError when the file that is there is of something else."""
        self.path = result.with_name(result.name + ".partial.jsonl")
        self._result = result
        self._head = json.dumps(asked)
        with writing(self.path):
            if fresh:
                self.path.unlink(missing_ok=True)
            if self.path.exists():
                self._check()

    def _check(self) -> None:
        with self.path.open("r+b") as file:
            first = file.readline()
            if first != self._head.encode() + b"\n":
                raise FsmdeError(
                    f"{self.path} holds the beginning of {_difference(first, self._head)}; run that command again to "
                    "finish it, add --fresh to begin anew, or give another --json"
                )
            complete = len(first)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(complete)
                    break
                complete += len(line)

    def records(self) -> Iterator[FrameRecord]:
        """Those that are there; FsmdeError when a line is broken."""
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
        with writing(self.path):
            begun = self.path.exists()
            with self.path.open("ab") as file:
                if not begun:
                    file.write(self._head.encode() + b"\n")
                file.write(_line(record.to_json().encode()))

    def finish(self, document: Mapping[str, Any]) -> None:
        """Put the result where it belongs, at once, and remove this file."""
        write_document(self._result, document)
        self.discard()

    def discard(self) -> None:
        """Remove this file."""
        self.path.unlink(missing_ok=True)


def _line(record: bytes) -> bytes:
    return b"[%d,%b]\n" % (zlib.crc32(record), record)


def _difference(first: bytes, head: str) -> str:
    """What the file's first line has otherwise, in words."""
    try:
        theirs, ours = json.loads(first), json.loads(head)
        keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    except (ValueError, AttributeError, TypeError):
        return "something that is no evaluation"
    changed = [f"{key} {theirs.get(key)} instead of {ours.get(key)}" for key in keys if key != "environment"]
    return f"another evaluation ({', '.join(changed) or 'other versions or another machine'})"
