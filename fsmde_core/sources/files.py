"""Files of a recording, with one sentence when they are missing or broken."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError


def read_bytes(path: Path) -> bytes:
    """The file's content; FsmdeError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FsmdeError(f"recording file {path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """The file's JSON; FsmdeError when it cannot be read or is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        if isinstance(error, FsmdeError):
            raise
        raise FsmdeError(f"recording file {path} is not JSON: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong inside while `path` is taken apart becomes one FsmdeError that names it."""
    try:
        yield
    except FsmdeError:
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
    ) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise FsmdeError(f"recording file {path} is not laid out as expected ({reason}); copy it again") from error
