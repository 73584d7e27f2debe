"""The node as a child: started beside whatever threads the program has, and gone when the program is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

pytest.importorskip("rclpy")

from fsmde_ros.client.node_process import NodeProcess

FORKS: list[float] = []
os.register_at_fork(before=lambda: FORKS.append(time.monotonic()))  # there is no way to take it back


def test_no_fork_waits_for_the_threads_of_this_process(tmp_path: Path) -> None:
    """Handlers of libraries run before a fork; that of OpenBLAS may wait for ever for a thread that multiplies."""
    ended = Event()

    def multiply() -> None:
        matrix = np.ones((300, 300))
        while not ended.is_set():
            matrix @ matrix

    thread = Thread(target=multiply)
    thread.start()
    FORKS.clear()
    try:
        for number in range(20):
            with NodeProcess(tmp_path, {"number": number}, tmp_path / "log") as node:
                assert node.returncode is None
            assert node.returncode is not None
    finally:
        ended.set()
        thread.join()
    assert FORKS == []


def test_the_node_reads_nothing_from_the_terminal_of_its_parent(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, {}, tmp_path / "log") as node:
        assert node._process is not None
        inputs = Path(f"/proc/{node._process.pid}/fd/0")
        assert inputs.readlink() == Path(os.devnull)
