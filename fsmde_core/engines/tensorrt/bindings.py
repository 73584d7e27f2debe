"""Implements TensorRT's interfaces for log and progress, and calls it with errors that name the call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import tensorrt

from fsmde_core.engines.base import first_line
from fsmde_core.engines.tensorrt.progress import Progress
from fsmde_core.errors import FsmdeError

trt: Any = tensorrt
VERSION: str = trt.__version__
OLDEST = (10, 3)

log = logging.getLogger(__name__)


class TensorRtLog(trt.ILogger):
    """Passes TensorRT's messages to Python's log; keeps a call's first error, the cause, for the exception."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.error = ""
        severity = trt.ILogger.Severity
        self._levels = {
            severity.INTERNAL_ERROR: logging.ERROR,
            severity.ERROR: logging.ERROR,
            severity.WARNING: logging.WARNING,
        }

    # TensorRT calls it from any thread; all but errors and warnings goes to the debug level.
    def log(self, severity: Any, msg: str) -> None:
        level = self._levels.get(severity, logging.DEBUG)
        if level == logging.ERROR:
            self.error = self.error or " ".join(msg.split())
        log.log(level, "TensorRT: %s", msg)


LOG = TensorRtLog()
"""The one of the process: it must outlive every object that TensorRT makes with it."""


class ProgressMonitor(trt.IProgressMonitor):
    """Passes TensorRT's progress on. An exception must not pass through TensorRT: it is kept, and the build ends."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)
        self.failure: BaseException | None = None
        self._progress = progress
        self._lock = threading.Lock()

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        self._notify(self._progress.start, phase_name, parent_phase, num_steps)

    def step_complete(self, phase_name: str, step: int) -> bool:
        self._notify(self._progress.step, phase_name, step + 1)  # TensorRT counts from 0
        return self.failure is None  # False ends the build

    def phase_finish(self, phase_name: str) -> None:
        self._notify(self._progress.finish, phase_name)

    def _notify(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            with self._lock:
                function(*arguments)
        except BaseException as error:  # Ctrl-C is delivered wherever Python runs: here, during a build
            self.failure = self.failure or error


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    # An exception of TensorRT becomes a FsmdeError that names the call.
    LOG.error = ""
    try:
        return function(*arguments)
    except Exception as error:  # pybind11 raises TypeError where an object cannot be made, RuntimeError elsewhere
        raise _failure(function, first_line(error)) from error


def require(function: Callable[..., Any], *arguments: Any) -> Any:
    # As `run`, for calls that return None or False where they fail.
    result = run(function, *arguments)
    if result is None or result is False:
        raise _failure(function, f"it returned {result}")
    return result


def _failure(function: Callable[..., Any], reason: str) -> FsmdeError:
    return FsmdeError(f"TensorRT {VERSION} failed in {function.__name__}: {LOG.error or reason}")


def check_version() -> None:
    """Raise FsmdeError for a TensorRT that lacks what is called here."""
    if tuple(int(part) for part in VERSION.split(".")[:2]) < OLDEST:
        raise FsmdeError(f"TensorRT is {VERSION}, expected 10.3 or later; install a newer one")
