"""How far a build is: TensorRT names phases, each of a number of steps, some within others."""

from __future__ import annotations

import logging
import time
from typing import Protocol

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Told by the threads that build. An exception out of it, Ctrl-C too, stops the build and reaches the caller."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase begins; parent: the phase that it belongs to."""
        ...

    def step(self, phase: str, done: int) -> None:
        """`done` of the phase's steps are done."""
        ...

    def finish(self, phase: str) -> None:
        """A phase ends, not always with its last step."""
        ...


class LogProgress:
    """Progress as log lines: the outermost phases, and the seconds that each took."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """See `Progress.start`."""
        if parent is None:
            self._began[phase] = time.monotonic()
            log.info("TensorRT: %s, %d steps", phase, steps)

    def step(self, phase: str, done: int) -> None:
        """See `Progress.step`."""

    def finish(self, phase: str) -> None:
        """See `Progress.finish`."""
        if phase in self._began:
            log.info("TensorRT: %s took %.0f s", phase, time.monotonic() - self._began.pop(phase))
