"""`fsmde engine build`, its progress, and our classes that TensorRT calls, inside the real bindings."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.self_check import Deviation
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.engines.tensorrt.progress import LogProgress
from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.app import app
from fsmde_ros.cli.progress import build_bars
from support.fake_tensorrt import FakeTensorRt
from support.small_network import write_quantised
from support.tensorrt_bindings import RELEASES, unpack


def build(*arguments: str | Path) -> str:
    """Standard output of `fsmde engine build`; its errors are raised here."""
    result = CliRunner().invoke(app, ["engine", "build", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_builds_checks_and_finds_again(
    fake_tensorrt: FakeTensorRt, small_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "engines for the van"
    first = build(small_model, "--out", out, "--workspace", "64")
    assert f"{out}/small-fp16-6x64x112-" in first.replace("\n", "")
    assert f"fp16, 1 to 6 images of 112x64, Fake GPU, TensorRT {fake_tensorrt.api['version']}" in first
    assert "against the ONNX reference: median" in first
    assert build(small_model, "--out", out) == first
    assert len(fake_tensorrt.made["Builder"]) == 1
    assert fake_tensorrt.made["IBuilderConfig"][0]._act.limits == {"WORKSPACE": 64 << 20}


def test_build_only_neither_loads_nor_runs(fake_tensorrt: FakeTensorRt, small_model: Path, tmp_path: Path) -> None:
    text = build(small_model, "--build-only", "--precision", "fp32", "--cameras", "8")
    assert f"{tmp_path}/engines/small-fp32-8x64x112-" in text and "reference" not in text
    assert "Runtime" not in fake_tensorrt.made and not fake_tensorrt.gpu.graphs


def test_an_engine_that_deviates_is_refused(
    fake_tensorrt: FakeTensorRt, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmde_core.engines.self_check.tolerance", lambda _: Deviation(0, 0))
    with pytest.raises(FsmdeError, match=r"the engine deviates from .*small\.onnx by median .*; build another"):
        build(small_model)


def test_a_precision_that_the_file_does_not_give(
    fake_tensorrt: FakeTensorRt, small_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(FsmdeError, match=r"precision int8 cannot be built from .*, which is fp32: it gives fp16"):
        build(small_model, "--precision", "int8")
    assert "int8, 1 to 6" in build(write_quantised(tmp_path / "int8.onnx"))


def test_an_old_tensorrt_is_named(
    fake_tensorrt: FakeTensorRt, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fake_tensorrt.module.__dict__, "__version__", "10.2.0")
    with pytest.raises(FsmdeError, match=r"TensorRT is 10\.2\.0, expected 10\.3 or later; install a newer one"):
        build(small_model)


def test_without_tensorrt_it_says_so() -> None:
    command = [sys.executable, "-c", "from fsmde_ros.cli.app import main; main()", "engine", "build"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode == 0:
        pytest.skip("TensorRT is installed here")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("fsmde: engine tensorrt cannot be used here")


class Stopping:
    """A progress that ends with an exception at one of its calls."""

    def __init__(self, at: str, error: BaseException) -> None:
        self.at, self.error = at, error

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self._tell("start")

    def step(self, phase: str, done: int) -> None:
        self._tell("step")

    def finish(self, phase: str) -> None:
        self._tell("finish")

    def _tell(self, at: str) -> None:
        if at == self.at:
            raise self.error


@pytest.mark.parametrize("at", ["start", "step", "finish"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a defect of the bar")])
def test_an_interrupted_build_ends_and_leaves_no_engine(
    at: str, error: BaseException, fake_tensorrt: FakeTensorRt, small_model: Path, tmp_path: Path
) -> None:
    from fsmde_core.engines.tensorrt.build import load_or_build_plan

    with pytest.raises(type(error)):
        load_or_build_plan(read_model_info(small_model), "fp16", 6, EngineCache(), Stopping(at, error))
    assert [path.suffix for path in (tmp_path / "engines").iterdir()] == [".lock"]


def test_bars_come_and_go() -> None:
    console = Console(file=None, force_terminal=True, width=80, record=True)
    with build_bars(console) as bars:
        bars.start("Building", None, 3)
        bars.step("Building", 2)
        bars.start("Timing", "Building", 5)
        bars.finish("Timing")
        (task,) = bars._bars.tasks
        assert (task.description, task.completed, task.total) == ("Building", 2, 3)
        bars.finish("Building")
        assert not bars._bars.tasks


def test_the_log_has_the_outermost_phases(caplog: pytest.LogCaptureFixture) -> None:
    progress = LogProgress()
    with caplog.at_level(logging.INFO):
        progress.start("Building", None, 3)
        progress.start("Timing", "Building", 5)
        progress.step("Timing", 1)
        progress.finish("Timing")
        progress.finish("Building")
    assert caplog.messages == ["TensorRT: Building, 3 steps", "TensorRT: Building took 0 s"]


REAL = """
import sys
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from fsmde_core.engines.tensorrt import bindings

class Progress:
    def __init__(self): self.told = []
    def start(self, *told): self.told.append(told)
    def step(self, *told): self.told.append(told)
    def finish(self, *told): self.told.append(told); raise KeyboardInterrupt

progress = Progress()
monitor = bindings.ProgressMonitor(progress)
monitor.phase_start("Building", None, 2)
assert monitor.step_complete("Building", 0) is True
monitor.phase_finish("Building")
assert monitor.step_complete("Building", 1) is False
assert isinstance(monitor, trt.IProgressMonitor) and isinstance(monitor.failure, KeyboardInterrupt)
assert progress.told == [("Building", None, 2), ("Building", 1), ("Building",), ("Building", 2)]

bindings.LOG.log(trt.ILogger.Severity.ERROR, "too bad")
bindings.LOG.log(trt.ILogger.Severity.VERBOSE, "chatter")
assert isinstance(bindings.LOG, trt.ILogger) and bindings.LOG.error == "too bad"

bindings.check_version()
try:
    bindings.require(trt.Builder, bindings.LOG)  # the stub library makes no builder
except ValueError as error:
    print(error)
import fsmde_core.engines.tensorrt.engine
"""


@pytest.mark.parametrize("release", RELEASES)
def test_our_classes_work_inside_the_real_bindings(release: str, tmp_path: Path) -> None:
    said = unpack(release, tmp_path).run(REAL)
    assert said.startswith(f"TensorRT {release} failed in Builder: "), said
