"""Describes in the result document what was evaluated, and writes the document."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fsmde_core.engines.base import Engine
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.source import Source


@dataclass(frozen=True)
class EngineDescription:
    """Names what ran the model, here or in another process, by the keys of the document."""

    engine: str
    device: str
    precision: str
    model: str
    model_sha256: str

    @classmethod
    def of(cls, engine: Engine) -> EngineDescription:
        return cls(engine.name, engine.device, engine.precision, engine.info.path.name, engine.info.sha256)


def document_header(
    source: Source,
    kind: str,
    root: Path | None,
    frames: FrameRange,
    protocol: EvaluationProtocol,
    engine: EngineDescription,
    flip: bool,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the first keys of a result document, all known before the first frame is read.

    Args:
        source: The recording.
        kind, root: Its kind and place, as `recording_place` returns them.
        frames, protocol, engine: What is measured, and how.
        flip: Whether each prediction is averaged with that of the mirrored image.
        reading: The options with which the recording was opened.

    Returns:
        The keys and their values.
    """
    return {
        "protocol": protocol.name,
        "source": source.name,
        "kind": kind,
        "root_name": "" if root is None else root.name,
        "options": {name: getattr(value, "name", value) for name, value in (reading or {}).items()},
        "span": list(frames),
        "cap_m": protocol.cap_m,
        "scaling": protocol.scaling,
        "flip": flip,
        "masks": sorted({*protocol.masks, *(camera.name for camera in source.rig.cameras if camera.mask)}),
        **asdict(engine),
        "environment": environment(engine.engine),
    }


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, whole or not at all.

    Args:
        path, document: The file, and what it is to hold.

    Raises:
        FsmdeError: The file system refuses.
    """
    part = path.with_name(path.name + ".part")
    with explained_write_errors(path):
        part.write_text(json.dumps(document, indent=2) + "\n")
        part.replace(path)


@contextmanager
def explained_write_errors(path: Path) -> Iterator[None]:
    """Raise FsmdeError within where the file system refuses."""
    try:
        yield
    except OSError as error:
        raise FsmdeError(
            f"{path} cannot be written ({error.strerror}); make room there or name a file elsewhere"
        ) from error


def environment(engine: str) -> dict[str, str]:
    """Return the versions of what computes, and the machine."""
    return {
        "package": _version("fsmde_ros"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "engine_version": _version(engine),
        "platform": platform.platform(),
        "cpu": _cpu(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a ROS installation has no pip metadata of everything
        return "unknown"


def _cpu() -> str:
    """Return the processor's name on Linux; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
