"""NVIDIA's own ONNX parser and builder take our graphs, here without a GPU: those of TensorRT for RTX, a sister of
TensorRT with the same interface, strongly typed networks only, that builds for a GPU which is not there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsmde_core.engines.model import default_model_path
from support.small_network import write_quantised
from support.tensorrt_bindings import Bindings, unpack_rtx

PREPARE = """
import json, sys
from pathlib import Path

import tensorrt_rtx_libs
import tensorrt_rtx_bindings as trt

sys.modules["tensorrt"] = trt
from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.tensorrt import build, network
from fsmde_core.engines.tensorrt.bindings import LOG
from fsmde_core.engines.tensorrt.cache import EngineKey
from fsmde_core.engines.tensorrt.progress import LogProgress

create = trt.Builder.create_builder_config

def for_a_gpu_that_is_not_here(builder):
    config = create(builder)
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return config

trt.Builder.create_builder_config = for_a_gpu_that_is_not_here

class RecordedProgress(LogProgress):
    def __init__(self):
        super().__init__()
        self.phases, self.steps, self.open = [], 0, 0

    def start(self, phase, parent, steps):
        self.phases.append((phase, parent, steps))
        self.open += 1

    def step(self, phase, done):
        self.steps += 1

    def finish(self, phase):
        self.open -= 1

info, timing = read_model_info(MODEL), Path(TIMING)
key = EngineKey(info.sha256, "", "", 0, 0, "", PRECISION, 6, info.height, info.width)
"""

BUILD = """
progress = RecordedProgress()
graph = network.prepare_graph(info, PRECISION)
plan = build.build_plan(graph, key, 1024, timing, progress)
definition = trt.Builder(LOG).create_network(0)
build._parse(definition, graph)
layers = [definition.get_layer(i) for i in range(definition.num_layers)]
print(json.dumps({
    "bytes": len(plan),
    "timing": len(timing.read_bytes()),
    "outermost": [phase for phase, parent, _ in progress.phases if parent is None],
    "steps": progress.steps,
    "open": progress.open,
    "convolutions": [layer.get_output(0).dtype.name for layer in layers if layer.type == trt.LayerType.CONVOLUTION],
    "quantised": sum(layer.type == trt.LayerType.QUANTIZE for layer in layers),
    "outputs": [definition.get_output(i).dtype.name for i in range(definition.num_outputs)],
}))
"""

REFUSE = """
network._cast_images_first = lambda graph: None
try:
    build.build_plan(network.prepare_graph(info, PRECISION), key, 1024, timing, RecordedProgress())
except ValueError as error:
    print(json.dumps(str(error)))
"""

STOP = """
class Stopped(RecordedProgress):
    def step(self, phase, done):
        super().step(phase, done)
        if self.steps == 20:
            raise KeyboardInterrupt

progress = Stopped()
try:
    build.build_plan(network.prepare_graph(info, PRECISION), key, 1024, timing, progress)
except KeyboardInterrupt:
    print(json.dumps([progress.steps, timing.exists()]))
"""


@pytest.fixture(scope="module")
def rtx() -> Iterator[Bindings]:
    with tempfile.TemporaryDirectory() as folder:  # 230 MB: pytest would keep three of them
        yield unpack_rtx(Path(folder))


def run(rtx: Bindings, script: str, tmp_path: Path, precision: str, model: Path | None = None) -> Any:
    values = {"MODEL": str(model or default_model_path()), "TIMING": str(tmp_path / "timing"), "PRECISION": precision}
    assignments = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    return json.loads(rtx.run(assignments + PREPARE + script).splitlines()[-1])


@pytest.mark.parametrize(("precision", "short"), [("fp16", "HALF"), ("fp32", "FLOAT")])
def test_the_shipped_student_is_built(precision: str, short: str, rtx: Bindings, tmp_path: Path) -> None:
    built = run(rtx, BUILD, tmp_path, precision)
    assert built["bytes"] > 500_000 and built["timing"] > 0
    assert len(built["outermost"]) == 1 and built["steps"] > 100 and built["open"] == 0
    assert built["outputs"] == ["FLOAT", "FLOAT"]
    assert built["convolutions"].count(short) >= 0.9 * len(built["convolutions"]) > 50


def test_a_quantised_network_is_built(rtx: Bindings, tmp_path: Path) -> None:
    built = run(rtx, BUILD, tmp_path, "int8", write_quantised(tmp_path / "int8.onnx"))
    assert built["bytes"] > 0 and built["quantised"] >= 4


def test_the_timings_of_one_build_are_taken_by_the_next(rtx: Bindings, tmp_path: Path) -> None:
    model = write_quantised(tmp_path / "int8.onnx")
    first, second = (run(rtx, BUILD, tmp_path, "int8", model) for _ in range(2))
    (tmp_path / "timing").write_bytes(b"no timings at all")
    third = run(rtx, BUILD, tmp_path, "int8", model)
    assert first["timing"] and second["timing"] and third["timing"] > len("no timings at all")


def test_the_graph_of_the_file_itself_is_refused_in_one_sentence(rtx: Bindings, tmp_path: Path) -> None:
    said = run(rtx, REFUSE, tmp_path, "fp16")
    assert "cannot take this model: Invalid Node - node_permute" in said and "UInt8" in said
    assert said.endswith("(node 'node_permute', operator Transpose); use another engine for it")
    assert "\n" not in said


def test_ctrl_c_ends_a_build(rtx: Bindings, tmp_path: Path) -> None:
    steps, timed = run(rtx, STOP, tmp_path, "fp16")
    assert 20 <= steps < 100 and not timed
