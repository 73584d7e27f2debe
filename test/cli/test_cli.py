"""The command line as a user meets it: real processes, exit codes, one sentence on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fsmde_core.sources.rosbag import RosbagSource
from fsmde_ros.middleware.domain import claim_domain
from support.bags import write_bag
from support.small_rig import SmallRig

COMMAND = [sys.executable, "-c", "from fsmde_ros.cli.app import main; main()"]


def fsmde(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def small_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "small", SmallRig(4), compressed=True)


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    help_text = fsmde("--help").stdout
    for command in ("demo", "play", "bag", "evaluate", "export", "info"):
        assert command in help_text
    heavy = ["numpy", "cv2", "rclpy", "onnxruntime", "torch", "matplotlib", "rosbags"]
    script = f"import sys, fsmde_ros.cli.app; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bag", "out", "--frames", "3"], "frames '3' must look like"),
        (["bag", "out", "--source", "nuscenes", "--root", "/nowhere"], "/nowhere does not exist"),
        (["bag", "out", "--source", "rosbag"], "needs the place of a recording"),
        (["bag", "out", "--source", "synthetic", "--root", "/tmp"], "reads no files"),
        (["bag", "out", "--source", "synthetic", "--frames", "5:5"], "has no frames in the range (5, 5)"),
        (["mounts", "--source", "synthetic", "--frames", "5:5"], "has no frames in the range (5, 5)"),
        (["bench", "--json", "/nowhere/x.json"], "/nowhere/x.json must name a file in an existing folder"),
        (["demo", "--root", "here/recording", "--out", "here"], "would overwrite the recording"),
        (["demo", "--source", "synthetic", "--out", "/proc/version"], "/proc/version cannot be made"),
        (["export", "/nowhere.ckpt"], "/nowhere.ckpt does not exist"),
        (["export", "/nowhere.ckpt", "--size", "big"], "size 'big' must be"),
        (["demo", "--seconds", "0"], "greater than 0"),
        (["play", "/nowhere"], "/nowhere does not exist"),
        (["play", "--rate", "0"], "greater than 0"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = fsmde(*(tmp_path / a if a == "out" else a for a in arguments))
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_unknown_source_is_a_usage_error(tmp_path: Path) -> None:
    result = fsmde("bag", tmp_path / "out", "--source", "kitti")
    assert result.returncode == 2
    assert "pandaset" in result.stderr


def test_bag_of_a_bag(tmp_path: Path, small_bag: Path) -> None:
    result = fsmde("bag", tmp_path / "copy", "--root", small_bag, "--frames", "1:3", "--storage", "sqlite3", "--raw")
    assert result.returncode == 0, result.stderr
    assert "2 frames of small" in result.stdout
    copied = [frame.stamp_ns for frame in RosbagSource(tmp_path / "copy").frames()]
    assert copied == [frame.stamp_ns for frame in RosbagSource(small_bag).frames(1, 3)]
    again = fsmde("bag", tmp_path / "copy", "--root", small_bag)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_info_tells_engines_model_and_recordings(tiny_model: Path) -> None:
    result = fsmde("info", "--model", tiny_model, COLUMNS="160")
    assert result.returncode == 0, result.stderr
    for said in ("onnxruntime", "openvino", "112x64", "auto takes", "rclpy", "pandaset", "opencv"):
        assert said in result.stdout, said


def test_info_without_a_model_still_tells_the_rest(tmp_path: Path) -> None:
    result = fsmde("info", "--model", tmp_path / "none.onnx", COLUMNS="160")
    assert result.returncode == 0
    assert "does not exist" in result.stdout
    assert "onnxruntime" in result.stdout


def domain() -> dict[str, str]:
    return {"ROS_DOMAIN_ID": str(claim_domain())}


def test_play_ends_with_the_recording(small_bag: Path) -> None:
    pytest.importorskip("rclpy")
    result = fsmde("play", small_bag, "--hz", "20", **domain())
    assert result.returncode == 0, result.stderr


def test_ctrl_c_is_quiet(small_bag: Path) -> None:
    pytest.importorskip("rclpy")
    command = [*COMMAND, "play", str(small_bag), "--loop"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **domain()})
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "Error" not in stderr
