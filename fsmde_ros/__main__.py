"""Starts the executable `surround_depth`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the node; a signal ends the process in order from the start on, though the node's imports take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is open yet; the node has handlers of its own
    from fsmde_ros.middleware.process import end_with_parent

    end_with_parent()
    from fsmde_ros.node import node

    return node.main()


if __name__ == "__main__":
    sys.exit(main())
