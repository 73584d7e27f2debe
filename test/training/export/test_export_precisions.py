"""Export in float16 and int8: the contract holds, equalisation keeps the function, what costs accuracy is reported."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.precision import network_nodes
from fsmde_core.engines.self_check import Deviation
from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.commands.train.export import print_cost
from fsmde_training import export
from fsmde_training.export import calibration, fp16, int8
from fsmde_training.export import onnx as onnx_export
from fsmde_training.export.calibration import load_calibration
from fsmde_training.export.compare import AccuracyCost, accuracy_cost, compare
from fsmde_training.export.equalise import equalise
from fsmde_training.networks.student import Student
from fsmde_training.sets import cache
from support.small_rig import SmallRig

SIZE = (64, 96)


@pytest.fixture(scope="module")
def float32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return export.export(Student(), tmp_path_factory.mktemp("export") / "float32.onnx", SIZE).path


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantised(float32: Path, images: np.ndarray) -> Path:
    return int8.quantize(float32, float32.with_name("int8.onnx"), images)


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def run(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return tuple(session.run(None, {"images": images, "focal": np.full(len(images), 250, np.float32)}))  # type: ignore[return-value]


def test_half_precision_keeps_the_contract_and_halves_the_file(float32: Path, images: np.ndarray) -> None:
    path = float32.with_name("fp16.onnx")
    deviation = fp16.convert_fp16(float32, path)
    assert deviation.median > 0
    assert deviation.within(fp16.LIMIT)
    assert metadata(path) == metadata(float32) | {"precision": "fp16"}
    assert (read_model_info(path).height, read_model_info(path).width) == SIZE
    assert path.stat().st_size < 0.55 * float32.stat().st_size
    depth, sigma = run(path, images)
    assert depth.dtype == sigma.dtype == np.float32
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    stored = {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}
    types = [stored[node.input[1]] for node in convolutions]
    assert types.count(TensorProto.FLOAT16) > 0.9 * len(types)


def test_files_are_of_a_version_that_older_engines_read(float32: Path, quantised: Path, tmp_path: Path) -> None:
    """Not of the newest one, which the installed onnx would take: onnxruntime reads it half a year later."""
    half = tmp_path / "half.onnx"
    fp16.convert_fp16(float32, half)
    for path in (float32, half, quantised):
        model = onnx.load(path)
        versions = {opset.domain: opset.version for opset in model.opset_import}
        assert (model.ir_version, versions[""]) == (10, 20), path
        assert set(versions) <= {"", "com.microsoft", "ai.onnx.ml"}


def test_half_precision_that_differs_too_much_is_refused(float32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fp16, "LIMIT", Deviation(1e-9, 1e-9))
    with pytest.raises(FsmdeError, match="float16 differs from float32 by median"):
        fp16.convert_fp16(float32, float32.with_name("refused.onnx"))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_refused_export_leaves_the_file_before_it(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", 0 if precision == "fp32" else 1)
    monkeypatch.setattr(fp16, "LIMIT", Deviation(1e-9, 1e-9))
    path = tmp_path / "model.onnx"
    path.write_text("the good one")
    with pytest.raises(FsmdeError, match=r"^model\.onnx: (depth|float16) differs from"):
        export.export(Student(), path, SIZE, precision)
    assert path.read_text() == "the good one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_export_is_compared_with_pytorch_once_and_replaces(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    check = onnx_export.check_export
    monkeypatch.setattr(onnx_export, "check_export", lambda student, path: checked.append(path) or check(student, path))
    path = tmp_path / "model.onnx"
    path.write_text("the old one")
    report = export.export(Student(), path, SIZE, precision)
    assert len(checked) == 1
    assert metadata(report.path)["precision"] == precision
    assert list(tmp_path.iterdir()) == [path]


def test_int8_keeps_the_contract_and_folds_its_activations(float32: Path, quantised: Path, images: np.ndarray) -> None:
    assert metadata(quantised) == metadata(float32) | {"precision": "int8"}
    read_model_info(quantised)
    before, after = onnx.load(float32).graph, onnx.load(quantised).graph
    count = {
        kind: [sum(node.op_type == kind for node in graph.node) for graph in (before, after)]
        for kind in ("Conv", "Clip", "Relu")
    }
    assert count["Conv"][0] == count["Conv"][1]
    assert count["Clip"][1] <= 2 < count["Clip"][0]
    assert count["Relu"][1] < count["Relu"][0] / 2
    weights = {tensor.name: tensor for tensor in after.initializer}
    stored = [tensor for tensor in weights.values() if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4]
    left = [name for name in weights if name.endswith("weight") and name.startswith(int8.FLOAT_WEIGHTS)]
    assert len(stored) >= count["Conv"][0] - len(left) - 8
    depth, sigma = run(quantised, images)
    assert np.isfinite(depth).all() and np.isfinite(sigma).all()
    assert depth.min() > 0


def test_int8_computes_about_the_same(float32: Path, quantised: Path) -> None:
    assert compare(float32, quantised).median < 5e-2


def test_int8_weights_have_a_scale_per_output_channel(quantised: Path) -> None:
    graph = onnx.load(quantised).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = [
        (tensors[node.input[0]], tensors[node.input[1]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors and tensors[node.input[0]].ndim == 4
    ]
    assert scales
    assert all(scale.shape == weight.shape[:1] for weight, scale in scales)
    assert all(weight.dtype == np.int8 for weight, _ in scales)


def test_the_binning_module_is_not_quantised(float32: Path) -> None:
    model = onnx.load(float32)
    left = set(int8.float_nodes(model))
    network = network_nodes(model)
    for node in model.graph.node:
        if any(name.startswith("bins.") for name in node.input) or node.op_type in ("Exp", "Softmax"):
            assert node.name in left
            assert node.name not in network
    assert sum(node.name in network for node in model.graph.node if node.op_type == "Conv") > 60


def test_equalisation_keeps_the_function(float32: Path, images: np.ndarray, tmp_path: Path) -> None:
    model = onnx.load(float32)
    peaks = int8.channel_peaks(model, images)
    onnx.save(equalise(model, peaks), tmp_path / "equal.onnx")
    changed = onnx.load(tmp_path / "equal.onnx")
    weights = [{t.name: numpy_helper.to_array(t) for t in m.graph.initializer} for m in (model, changed)]
    assert sum(not np.array_equal(value, weights[1][name]) for name, value in weights[0].items()) > 50
    for ours, theirs in zip(run(tmp_path / "equal.onnx", images), run(float32, images), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_equalisation_by_hand() -> None:
    """Two 1x1 convolutions around a ReLU; channel peaks 1 and 4, so the first channel is doubled: (4 / 1) ** 0.5."""
    first = np.array([[1.0], [4.0]], np.float32)[:, :, None, None]
    second = np.array([[3.0, 5.0]], np.float32)[:, :, None, None]
    tensors = [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "one"),
        helper.make_node("Relu", ["a"], ["b"], "two"),
        helper.make_node("Conv", ["b", "w2"], ["y"], "three"),
    ]
    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [shape], [out], tensors),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    peak = np.array([1, 4], np.float32)
    found = {t.name: numpy_helper.to_array(t) for t in equalise(model, {"a": peak, "b": peak}).graph.initializer}
    np.testing.assert_allclose(found["w1"].ravel(), [2, 4])
    np.testing.assert_allclose(found["w2"].ravel(), [1.5, 5])


def make_set(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(1)
    depth = np.full((128, 192), np.nan, np.float16)
    depth[::4] = 10.0
    rgb = rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)
    cache.save(folder, ((rgb, depth, 300.0) for _ in range(count)), count, 192, 128)
    return folder


def test_a_set_gives_images_of_the_networks_size_and_keeps_its_end_back(tmp_path: Path) -> None:
    data = load_calibration(str(make_set(tmp_path / "set", 10)), SIZE)
    assert data.images.shape == (8, *SIZE, 3)
    np.testing.assert_allclose(data.focal, 150)  # half the width
    assert data.held_out is not None
    assert len(data.held_out) == 2
    assert np.nanmax(data.held_out.depth) == 10
    assert load_calibration(str(make_set(tmp_path / "small", 3)), SIZE).held_out is None


def test_a_recording_gives_images_of_every_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "open_source", lambda kind, root: SmallRig(frames=5))
    data = load_calibration("nuscenes", SIZE)
    assert data.images.shape == (16, *SIZE, 3)  # four frames of four cameras; the fifth is held out
    np.testing.assert_allclose(data.focal, 90)  # 30 at 32 pixels, the image is 96 wide
    assert data.held_out is None or len(data.held_out) == 4


def test_the_cost_is_the_mean_over_images(float32: Path, tmp_path: Path) -> None:
    views = load_calibration(str(make_set(tmp_path / "set", 10)), SIZE).held_out
    assert views is not None
    cost = accuracy_cost(float32, float32, views)
    session = onnxruntime.InferenceSession(float32, providers=["CPUExecutionProvider"])
    depth = session.run(["depth"], {"images": views.images, "focal": views.focal})[0]
    truth = views.depth.astype(np.float32)
    expected = np.mean(
        [np.mean(np.abs(np.clip(d, 0.1, 80) - g)[g > 0] / 10) for d, g in zip(depth, truth, strict=True)]
    )
    assert cost.float32 == pytest.approx(expected, rel=1e-4)
    assert cost.relative == 0
    assert AccuracyCost(0.1, 0.12, 1).relative == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp8"}, "precision 'fp8' is unknown; use one of fp32, fp16, int8"),
        ({"precision": "int8", "calibration": "/nowhere"}, "no calibration images in '/nowhere'"),
        ({"precision": "int8", "calibration": "nuscenes:/nowhere"}, "no calibration images in 'nuscenes:/nowhere'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=message):
        export.export(Student(), tmp_path / "model.onnx", SIZE, **arguments)
    assert not list(tmp_path.iterdir())


def test_quantisation_needs_images_and_its_library(
    float32: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for wrong in (images[:0], images[:, :32]):
        with pytest.raises(FsmdeError, match=r"expected \(1 or more, 64, 96, 3\)"):
            int8.quantize(float32, tmp_path / "model.onnx", wrong)
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(FsmdeError, match=r"int8 needs onnxruntime\.quantization"):
        int8.quantize(float32, tmp_path / "model.onnx", images)


def test_the_command_prints_the_cost_and_warns(capsys: pytest.CaptureFixture[str]) -> None:
    print_cost(AccuracyCost(0.1, 0.1005, 6))
    assert "6 held-out images: float32 0.1000, int8 0.1005 (+0.5%)" in capsys.readouterr().out
    print_cost(AccuracyCost(0.1, 0.103, 6))
    assert "warning: int8 raises AbsRel by 3.0%, more than 1%" in capsys.readouterr().err
    print_cost(None)
    assert "no held-out depth" in capsys.readouterr().err
