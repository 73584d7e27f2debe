"""The head of the result document: what was asked, and of what."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source


class ModelDescription(Protocol):
    """What the document says of the model; a `ModelInfo` has it."""

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...


class EngineDescription(Protocol):
    """What the document says of what runs the model; an `Engine` has it, here or in another process."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def info(self) -> ModelDescription: ...


def head(
    source: Source,
    kind: str,
    root: Path | None,
    span: FrameRange,
    protocol: EvaluationProtocol,
    engine: EngineDescription,
    flip: bool,
) -> dict[str, Any]:
    """The first keys of the document, known before the first frame is read. kind: of the source; root: its place."""
    return {
        "protocol": protocol.name,
        "source": source.name,
        "kind": kind,
        "root_name": "" if root is None else root.name,
        "span": list(span),
        "cap_m": protocol.cap_m,
        "scaling": protocol.scaling,
        "flip": flip,
        "masks": sorted(protocol.masks),
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "model": engine.info.path.name,
        "model_sha256": engine.info.sha256,
        "environment": environment(engine.name),
    }


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """As JSON, whole or not at all; FsmdeError where there is no room for it."""
    written = path.with_name(path.name + ".part")
    with writing(path):
        written.write_text(json.dumps(document, indent=2) + "\n")
        written.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """FsmdeError where the file system refuses."""
    try:
        yield
    except OSError as error:
        raise FsmdeError(
            f"{path} cannot be written ({error.strerror}); make room there or name a file elsewhere"
        ) from error


def environment(engine: str) -> dict[str, str]:
    """Versions of what computes, and the machine."""
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
    """The processor's name on Linux; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
