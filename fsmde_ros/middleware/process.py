"""Sets the process up: memory and threads for large images at camera rate, its end with its parent, and the log."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_LARGEST_MMAP_THRESHOLD = 32 << 20  # of glibc on 64 bit
_KEPT_BYTES = 128 << 20
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

PARENT = "FSMDE_PARENT"
"""The environment variable in which a program leaves its process id to the node that it starts."""


def end_with_parent() -> None:
    """Have Linux send this process SIGTERM when its parent ends, however that ends, if PARENT names it."""
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it has ended already, and will send nothing
            os.kill(os.getpid(), signal.SIGTERM)


def keep_freed_memory() -> None:
    """Let the process keep up to 128 MB of freed memory per heap instead of giving it back with every message.

    Pages given back are cleared by the kernel when they are needed again, which costs three times what copying the
    message does. Without effect where the C library is not glibc on 64 bit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Without the first the second would make every image a mapping of its own, for good.
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD):
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class _RosHandler(logging.Handler):
    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # One call per severity: rclpy ties a severity to the line that logs.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def forward_logs(logger: Any) -> None:
    """Send what both packages log with Python's logging, from INFO on, to an rclpy logger."""
    handler = _RosHandler(logger)
    for package in ("fsmde_core", "fsmde_ros"):
        source = logging.getLogger(package)
        source.setLevel(logging.INFO)
        source.propagate = False
        source.addHandler(handler)
