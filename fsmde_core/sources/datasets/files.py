"""Reads files of a recording; errors say in one sentence which file is missing or broken."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from fsmde_core.errors import FsmdeError


class RecordingFileError(FsmdeError):
    """Says that a file of a recording cannot be used, and names it."""


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingFileError(f"recording file {path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    content = read_bytes(path)
    try:
        return json.loads(content)
    except ValueError as error:
        raise RecordingFileError(f"recording file {path} is not JSON: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever fails inside, while `path` is parsed, into one RecordingFileError that names it."""
    try:
        yield
    except RecordingFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OSError, EOFError, BadZipFile, zlib.error) as error:
        kind = "" if isinstance(error, FsmdeError) else f"{type(error).__name__} "
        reason = " ".join(f"{kind}{error}".split())
        text = f"recording file {path} is not laid out as expected ({reason}); copy it again"
        raise RecordingFileError(text) from error
