"""Reads files of a recording; errors say in one sentence which file is missing or broken."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.frames import LidarSweep
from fsmde_core.sources.source import Omission

_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, EOFError, MemoryError)
ABSENT = "the file is absent"
EMPTY = "the file is empty"
NO_POINT = "it has no finite point"
BROKEN = "the file is not laid out as expected"
"""Reasons why a file of a data set is left out."""


class RecordingFileError(FsmdeError):
    """Says that a file of a recording cannot be used, and names it."""


class AbsentFileError(RecordingFileError):
    """Says that a file which a recording may have is not there; its text is the file's name."""


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
    except (*_DAMAGE, BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        kind = "" if isinstance(error, FsmdeError) else f"{type(error).__name__} "
        reason = " ".join(f"{kind}{error}".split())
        text = f"recording file {path} is not laid out as expected ({reason}); copy it again"
        raise RecordingFileError(text) from error


def finite_points(values: NDArray[Any]) -> NDArray[Any]:
    """Return the first three columns of (N, 3 or more) numbers, of finite rows; ValueError for anything else."""
    if values.ndim != 2 or values.shape[1] < 3 or values.dtype.kind not in "iuf":
        raise ValueError(f"points must be (N, 3) numbers, found {values.shape} of {values.dtype}")
    points = values[:, :3]
    finite = np.isfinite(points).all(axis=1)
    return points if finite.all() else points[finite]


def read_image(path: Path, omitted: list[Omission]) -> bytes | None:
    """Read the bytes of an image file.

    Args:
        path: The file.
        omitted: Takes what is said of a file that is absent or empty.

    Returns:
        The bytes, or None.
    """
    if not path.is_file():
        omitted.append(Omission("images", ABSENT, str(path)))
        return None
    if not (content := read_bytes(path)):
        omitted.append(Omission("images", EMPTY, str(path)))
    return content or None


def read_sweep(read: Callable[[], LidarSweep], omitted: list[Omission]) -> LidarSweep | None:
    """Read a sweep; one that cannot be used costs itself.

    Args:
        read: Reads its file; AbsentFileError where there is none, RecordingFileError where it is broken.
        omitted: Takes what is said of a sweep that cannot be used.

    Returns:
        The sweep, or None.
    """
    try:
        sweep = read()
    except AbsentFileError as error:
        omitted.append(Omission("sweeps", ABSENT, str(error)))
        return None
    except RecordingFileError as error:
        omitted.append(Omission("sweeps", BROKEN, str(error)))
        return None
    if not len(sweep.points):
        omitted.append(Omission("sweeps", NO_POINT, f"that of stamp {sweep.stamp_ns * 1e-9:.3f}"))
        return None
    return sweep
