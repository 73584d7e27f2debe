"""Files of a recording, with one sentence when they are missing or broken."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError


class RecordingFileError(FsmdeError):
    """A file of a recording that cannot be used; the text names it."""


def read_bytes(path: Path) -> bytes:
    """The file's content; FsmdeError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingFileError(f"recording file {path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """The file's JSON; FsmdeError when it cannot be read or is not JSON."""
    content = read_bytes(path)
    try:
        return json.loads(content)
    except ValueError as error:
        raise RecordingFileError(f"recording file {path} is not JSON: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong inside while `path` is taken apart becomes one FsmdeError that names it."""
    try:
        yield
    except RecordingFileError:
        raise
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        kind = "" if isinstance(error, FsmdeError) else f"{type(error).__name__} "
        reason = " ".join(f"{kind}{error}".split())
        raise RecordingFileError(
            f"recording file {path} is not laid out as expected ({reason}); copy it again"
        ) from error
