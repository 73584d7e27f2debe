"""Log records of Python's logging, which fsmde_core knows alone, to the node's logger."""

from __future__ import annotations

import logging
from typing import Any


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


def forward_to(logger: Any) -> None:
    """Send what this package logs from INFO on to an rclpy logger."""
    handler = _RosHandler(logger)
    for package in ("fsmde_core", "fsmde_ros"):
        source = logging.getLogger(package)
        source.setLevel(logging.INFO)
        source.propagate = False
        source.addHandler(handler)
