"""Starts the executable `surround_depth`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the node; a signal ends the process in order from the start on, though the node's imports take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is open yet; the node has handlers of its own
    from fsmde_ros.middleware.process import end_with_parent

    end_with_parent()
    from fsmde_ros.node import node

    code = node.main()
    gc.collect()  # the DDS participant goes with the last reference to the node
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # Python would take down engines and compiled code piece by piece, on a busy machine for seconds


if __name__ == "__main__":
    main()
