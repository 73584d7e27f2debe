"""Reports how far a build is: TensorRT names phases, each of a number of steps, some within others."""

from __future__ import annotations

import logging
import time
from typing import Protocol

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives calls of the threads that build; its exceptions, Ctrl-C too, stop the build and reach the caller.

    A phase may be a part of its `parent`; `done` of its `steps` are done; it may finish before the last.
    """

    def start(self, phase: str, parent: str | None, steps: int) -> None: ...

    def step(self, phase: str, done: int) -> None: ...

    def finish(self, phase: str) -> None: ...


class LogProgress:
    """Logs the outermost phases, and the seconds that each took."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        if parent is None:
            self._began[phase] = time.monotonic()
            log.info("TensorRT: %s, %d steps", phase, steps)

    def step(self, phase: str, done: int) -> None:
        pass

    def finish(self, phase: str) -> None:
        if phase in self._began:
            log.info("TensorRT: %s took %.0f s", phase, time.monotonic() - self._began.pop(phase))
