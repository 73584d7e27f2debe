"""The node as a process: how it ends, and what it says of arguments that it cannot read."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fsmde_ros.middleware.dds import FAST_DDS_2, FAST_DDS_3
from support.ros_harness import DOMAIN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_process_in_order(tiny_model: Path, number: signal.Signals, tmp_path: Path) -> None:
    """Exit code 0 and nothing left in shared memory, even when Ctrl-C is pressed again and again."""
    process = _start_process(tiny_model, tmp_path, "-p", "rig:=pandaset", "-p", "engine:=onnxruntime")
    try:
        _wait_for(lambda: "cameras front" in (tmp_path / "log").read_text(), process)
        segments = _segments_of(process.pid)
        assert segments, "the process does not use shared memory, so that the test proves nothing"
        process.send_signal(number)
        for _ in range(5):
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()
        assert not [path for path in segments if Path(path).exists() and not _is_in_use(path)]
    finally:
        process.kill()
        process.wait()


_IMPORTING = """
import sys, time
class Slow:
    def find_spec(name, *_):
        if name == "rclpy":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow)
from fsmde_ros.__main__ import main
sys.exit(main())
"""

_SLOW = """
import sys, time
from fsmde_ros.node import node
def load_engine(*_):
    print("loading", flush=True)
    time.sleep(60)
node.load_engine = load_engine
sys.exit(node.main())
"""


@pytest.mark.parametrize(("program", "doing"), [(_IMPORTING, "importing"), (_SLOW, "loading")])
def test_a_signal_ends_the_process_while_it_starts(tiny_model: Path, tmp_path: Path, program: str, doing: str) -> None:
    process = _start_process(tiny_model, tmp_path, "-p", "rig:=pandaset", program=("-c", program))
    try:
        _wait_for(lambda: doing in (tmp_path / "log").read_text(), process)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.wait(20) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


_SIGNALLED = """
import os, signal, sys
from fsmde_ros.node import node
node.forward_logs = lambda _: os.kill(os.getpid(), signal.SIGTERM)
node.load_engine = lambda *_: print("loading")
sys.exit(node.main())
"""


def test_a_node_that_is_to_end_does_not_start(tiny_model: Path, tmp_path: Path) -> None:
    process = _start_process(tiny_model, tmp_path, "-p", "rig:=pandaset", program=("-c", _SIGNALLED))
    assert process.wait(30) == 0
    assert "loading" not in (tmp_path / "log").read_text()


_ACTIVATING = """
import sys, time
from fsmde_ros.node import node
activate = node.SurroundDepthNode._activate
def slowly(self):
    activate(self)
    print("activating", flush=True)
    time.sleep(1)
    print("activated", flush=True)
node.SurroundDepthNode._activate = slowly
sys.exit(node.main())
"""


def test_a_signal_does_not_break_off_what_starts_threads(tiny_model: Path, tmp_path: Path) -> None:
    """A thread that nobody knows of yet would keep the process for good."""
    process = _start_process(tiny_model, tmp_path, "-p", "rig:=pandaset", program=("-c", _ACTIVATING))
    try:
        _wait_for(lambda: "activating" in (tmp_path / "log").read_text(), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "activated" in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-p", "engine:=steam"], "must be one of auto"),
        (["-p", "cameras:=[]"], "'cameras' has no value; write a list without entries as ['']"),
        (["--", "--rig", "pandaset"], "there are no options ['--rig', 'pandaset']"),
    ],
)
def test_arguments_that_cannot_be_read_end_the_process_with_a_sentence(
    tiny_model: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    process = _start_process(tiny_model, tmp_path, *arguments)
    assert process.wait(30) == 2
    log = (tmp_path / "log").read_text()
    assert log.startswith("surround_depth: ")
    assert reason in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "Error opening YAML file"), ("a: [1\n b", "Sequences"), ("rig: pandaset", "before ros__parameters")],
)
def test_a_params_file_that_cannot_be_read_ends_the_process_with_a_sentence(
    tiny_model: Path, tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "parameters.yaml"
    if content is not None:
        path.write_text(content)
    process = _start_process(tiny_model, tmp_path, "--params-file", str(path))
    assert process.wait(30) == 2
    log = (tmp_path / "log").read_text()
    sentence = log.splitlines()[-1]  # after a line of rcl's own
    assert sentence.startswith("surround_depth: ")
    assert str(path) in sentence
    assert reason in sentence
    assert ".c:" not in sentence
    assert "Traceback" not in log


def _start_process(
    model: Path, folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "fsmde_ros")
) -> subprocess.Popen[bytes]:
    command = [sys.executable, *program, "--ros-args", "-p", f"model:={model}", *arguments]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(folder)}
    for variable in (FAST_DDS_2, FAST_DDS_3):
        environment.pop(variable, None)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_in_use(path: str) -> bool:
    """Whether some process has the segment mapped: a neighbour's, which the node had mapped as well."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if path in maps.read_text():
                return True
    return False


def _segments_of(pid: int) -> set[str]:
    """The /dev/shm data segments that the process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in maps if re.search("/dev/shm/fast(dds|rtps)_", line)}
    return {path for path in paths if "port" not in path}
