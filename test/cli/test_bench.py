"""The benchmark with the real node over real DDS, and the comparison with the teacher's architecture."""

from __future__ import annotations

import array
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("rclpy")

from rich.console import Console

from fsmde_core.clouds.packer import PackedCloud
from fsmde_core.engines import load_engine
from fsmde_core.engines.timing import compare_with_teacher, time_in_turns
from fsmde_core.errors import FsmdeError
from fsmde_core.messages.point_cloud import COLOR_FIELDS
from fsmde_ros.cli.app import app
from fsmde_ros.cli.benchmarks.node import bench_live, bench_teacher
from fsmde_ros.cli.benchmarks.pipeline_stages import measure_stages
from fsmde_ros.client.live_run import LiveRunSettings
from fsmde_ros.middleware.conversions import header, point_cloud
from support.small_rig import SmallRig

pytestmark = pytest.mark.ros

STAGES = ["receive", "preprocess", "infer", "cloud", "publish"]


def test_every_figure_of_the_whole_path(tiny_model: Path) -> None:
    settings = LiveRunSettings(seconds=2, engine="onnxruntime", model=tiny_model, threads=1)
    result = bench_live(SmallRig(8), settings, Console(quiet=True))
    assert list(result["stages_ms"]) == STAGES
    assert all(milliseconds >= 0 for milliseconds in result["stages_ms"].values())
    assert (result["cameras"], result["engine"], result["threads"]) == (len(SmallRig().rig.names), "onnxruntime", 1)
    assert 0 < result["overhead_ms"] < result["end_to_end_ms"]["p99"]
    assert 0 <= result["dropped"] < 10
    assert 5 < result["sets_per_s"] < 12


def test_every_stage_is_set_beside_a_copy_of_its_bytes(tiny_model: Path) -> None:
    """Six images of 1920x1080 in; a cloud of all pixels, so five float32 each, and the depth images out."""
    result = measure_stages(load_engine("onnxruntime", tiny_model), threads=1)
    pixels = 6 * 64 * 112
    sizes = {"rectify": 6 * 1920 * 1080 * 3, "cloud": 20 * pixels, "messages": 4 * pixels}
    stages = result["stages"]
    assert list(stages) == ["rectify", "infer", "cloud", "messages"]
    assert {name: stages[name]["bytes"] for name in sizes} == sizes and "bytes" not in stages["infer"]
    for name in sizes:
        assert stages[name]["ms"] > 0 and stages[name]["copy_ms"] > 0
    total = sum(stages[name]["ms"] for name in sizes)
    assert result["without_inference_ms"] == pytest.approx(total, abs=0.02)
    assert result["input"] == "6 x 1920x1080 rgb8"


def test_messages_share_the_bytes_of_the_cloud() -> None:
    """A message that copied them would take longer than packing them."""
    cloud = PackedCloud(array.array("B", bytes(20)), 1, 1, COLOR_FIELDS, is_dense=True)
    assert point_cloud(header(0, "base_link"), cloud).data is cloud.data


def test_alternate_tells_a_slow_call_from_a_fast_one() -> None:
    slow, fast = time_in_turns(lambda: time.sleep(0.02), lambda: time.sleep(0.002), rounds=3)
    assert 20 <= slow < 200
    assert 2 <= fast < slow


def test_teacher_is_slower_at_fewer_pixels(tiny_model: Path) -> None:
    pytest.importorskip("transformers")
    result = bench_teacher(LiveRunSettings(engine="onnxruntime", model=tiny_model), cameras=2)
    assert result["teacher"] == "Depth Anything V2 Small, 112x56, onnxruntime f32"
    assert result["ratio"] == pytest.approx(result["teacher_ms"] / result["student_ms"], rel=0.2)
    assert result["ratio"] > 5  # twelve transformer layers against seven elementwise operators


def test_engine_that_cannot_run_the_teacher_says_so(tiny_model: Path) -> None:
    with pytest.raises(FsmdeError, match="engine 'torch' cannot run the teacher"):
        compare_with_teacher(load_engine("torch", tiny_model), tiny_model, (56, 112), 1, 0)


def test_command_writes_json(tiny_model: Path, nuscenes_root: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    arguments = ["bench", "--source", "nuscenes", "--root", str(nuscenes_root), "--seconds", "1", "--json", str(file)]
    result = CliRunner().invoke(app, [*arguments, "--model", str(tiny_model)])
    assert result.exit_code == 0, result.output
    keys = {"input", "cameras", "engine", "threads", "stages_ms", "end_to_end_ms", "overhead_ms", "sets_per_s"}
    assert keys | {"dropped", "stages"} <= set(json.loads(file.read_text()))
    assert "sets per second" in result.stdout
