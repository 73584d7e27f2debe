"""The GPU benchmark on a tiny model: figures that fit each other, in the document and in its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console

torch = pytest.importorskip("torch")

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.torch.engine import TorchEngine
from fsmde_core.pipeline.gpu.torch.backend import TorchBackend
from fsmde_core.pipeline.gpu_pipeline import GpuPipeline
from fsmde_ros.cli.benchmarks.gpu import document, floors, frames, scene
from fsmde_ros.cli.benchmarks.gpu.networks import gflop
from fsmde_ros.cli.benchmarks.gpu.table import tables
from support.gpu_cases import torch_device
from support.tiny_model import HEIGHT, WIDTH

pytestmark = pytest.mark.torch


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of few bytes, on the CPU through the GPU's pipeline."""
    monkeypatch.setattr(floors, "_LARGE", 1 << 16)
    monkeypatch.setattr(floors, "_SIDE", 32)
    monkeypatch.setattr(floors, "_RUNS", 2)
    monkeypatch.setattr(frames, "WARM_UP", 1)
    monkeypatch.setattr(document, "_machine", lambda device: {"gpu": "no GPU", "torch": torch.__version__})
    monkeypatch.setattr(document, "open_pipeline", lambda engine, _: GpuPipeline(engine, TorchBackend(engine), 2))


def test_the_document_holds_what_the_tables_show(small: None, tiny_model: Path) -> None:
    (found,) = document.measure([tiny_model], 3, False, torch.device("cpu"), lambda _: None)
    assert json.loads(json.dumps(found)) == found
    network = found["networks"][0]
    engine, tensorrt = network["engines"]
    assert network["input"] == f"{WIDTH}x{HEIGHT}"
    assert engine["frames"] == 3 and engine["points"] == 6 * WIDTH * HEIGHT
    assert "skipped" in tensorrt or tensorrt["engine"] == "tensorrt"
    whole, stages = engine["end_to_end_ms"], engine["stages_ms"]
    assert 0 < whole["p50"] <= whole["p95"] <= whole["p99"] <= whole["max"]
    # What the caller waits for adds up to the whole, to the clock reads between.
    parts = sum(stages[stage]["max"] for stage in ("preprocess", "infer", "pack"))
    assert whole["p50"] <= parts + 0.5
    share = (stages["gpu_infer"]["p50"] + engine["copies_alone_ms"]) / whole["p50"]
    assert engine["engine_and_copies_share"] == pytest.approx(share, abs=1e-3)
    console = Console(record=True, width=140)
    for table in tables(found):
        console.print(table)
    assert f"{whole['p99']:.2f}" in console.export_text()


def test_percentiles() -> None:
    assert frames.summary([*range(101)]) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def test_every_pixel_of_the_scene_becomes_a_point(tiny_model: Path) -> None:
    rig = scene.surround_rig()
    assert rig.names == scene.NAMES and all(camera.is_distorted for camera in rig.cameras)
    engine = TorchEngine(read_model_info(tiny_model), 1, 6)
    pipeline = GpuPipeline(engine, TorchBackend(engine), 2)
    result = pipeline.run(next(scene.endless_sets()), rig)
    assert np.isfinite(result.depth).all() and pipeline.pack(result, frames.EVERY_PIXEL).count == result.depth.size
    pipeline.close()


def test_operations_of_a_convolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """3 -> 5 channels of 64x112 pixels by a 3x3 kernel: two operations per multiplication, 0.00194 billion."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [5, 3, 3, 3], np.zeros(135))
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "w"], ["depth"], pads=[1, 1, 1, 1]),
    ]
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3]),
        helper.make_tensor_value_info("focal", TensorProto.FLOAT, ["N"]),
    ]
    output = helper.make_tensor_value_info("depth", TensorProto.FLOAT, ["N", 5, HEIGHT, WIDTH])
    path = tmp_path / "one.onnx"
    onnx.save(
        helper.make_model(
            helper.make_graph(nodes, "one", inputs, [output], [weight]),
            opset_imports=[helper.make_opsetid("", 20)],
            ir_version=10,
        ),
        path,
    )
    info: Any = read_model_info(tiny_model)
    object.__setattr__(info, "path", path)
    assert gflop(info) == round(2 * 64 * 112 * 5 * 3 * 9 / 1e9, 3)


@pytest.mark.gpu
def test_teachers_run_as_graphs() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("fsmde_training")
    from fsmde_ros.cli.benchmarks.gpu.networks import teacher_ms

    found = teacher_ms("small", 2, [(56, 70), (70, 56)], torch_device("cuda"))
    assert set(found) == {(56, 70), (70, 56)} and min(found.values()) > 0
