"""`fsmde replay` beside busy processes, again and again: it neither hangs nor outlives Ctrl-C.

`pytest test/ros/client/test_replay_endurance.py -m slow -s` prints how long the runs and their ends took.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from fsmde_ros.middleware.process import PARENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
RUNS, INTERRUPTS, BUSY, SEED = 30, 20, 2, 11
HANGS_S = 120
"""A run that takes longer has hung, on any machine."""
ENDS_S = 15
"""The same of an interrupted run; on a machine that does nothing else it is to end within 3 s."""
MULTIPLY = """
import numpy as np
from fsmde_ros.middleware.process import end_with_parent
end_with_parent()
matrix = np.ones((512, 512))
while True:
    matrix @ matrix
"""
IMPORTS_S = 2
"""Before, Python itself may still be starting, and ends as it does."""


@pytest.fixture(autouse=True)
def busy() -> Iterator[None]:
    """Processes that take all cores."""
    environment = {**os.environ, PARENT: str(os.getpid())}  # nothing goes on multiplying when the tests are killed
    processes = [subprocess.Popen([sys.executable, "-c", MULTIPLY], env=environment) for _ in range(BUSY)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def start_replay(root: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from fsmde_ros.cli.app import main; main()", "replay", "--source", "pandaset"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*command, "--root", str(root), "--frames", "40:42"],
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip


def finish(process: subprocess.Popen[bytes], limit_s: float) -> float:
    """Seconds until the process has ended; fails, and kills it, where that takes longer than the limit."""
    begin = time.monotonic()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"the command has not ended after {limit_s} s")
    return time.monotonic() - begin


def spread(what: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{what}: {len(ordered)}, median {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s"


def test_it_ends_every_time(pandaset_root: Path, tmp_path: Path) -> None:
    seconds = []
    for number in range(RUNS):
        log = tmp_path / f"run{number}"
        process = start_replay(pandaset_root, log)
        seconds.append(finish(process, HANGS_S))
        print(f"run {number}: {seconds[-1]:.2f} s", flush=True)
        assert process.returncode == 0, log.read_text()
    print(spread("runs", seconds), flush=True)


def test_ctrl_c_ends_it_at_any_moment(pandaset_root: Path, tmp_path: Path) -> None:
    """Quietly with exit code 130, or, while Python itself starts, however Python ends; the node ends with it."""
    whole_s = min(finish(start_replay(pandaset_root, tmp_path / "whole"), HANGS_S) for _ in range(3))
    moments = random.Random(SEED)
    seconds = []
    for number in range(INTERRUPTS):
        log = tmp_path / f"run{number}"
        process = start_replay(pandaset_root, log)
        moment = moments.uniform(0, whole_s)
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        seconds.append(finish(process, ENDS_S))
        took = f"exit code {process.returncode} after {seconds[-1]:.2f} s"
        print(f"Ctrl-C after {moment:5.2f} s: {took}", flush=True)
        if moment > IMPORTS_S:
            assert process.returncode in (0, 130, -signal.SIGINT), log.read_text()
            assert "Traceback" not in log.read_text(), log.read_text()
    print(spread("ends", seconds))
