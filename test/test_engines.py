"""Engines agree with each other, refuse what does not fit, and a lying engine does not get past the self-check."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from fsmde_core.engines import ENGINES, DepthBatch, describe_engines, load_engine, select
from fsmde_core.engines.check import TOLERANCE, Deviation, check_input, deviation, reference
from fsmde_core.engines.openvino import ImageStreams, stream_count
from fsmde_core.errors import FsmdeError
from fsmde_core.model import read_model_info
from fsmde_core.preprocess import rectify_rgb
from fsmde_core.share import find_shared
from fsmde_core.sources.pandaset import PandaSetSource
from tiny_model import HEIGHT, WIDTH, write_tiny_model


def batch(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return images, generator.uniform(50, 200, count).astype(np.float32)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    try:
        select.engine_module(request.param)
    except select.AbsentEngine as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.mark.parametrize("threads", [1, 3])
def test_tiny_model_is_computed_as_its_formula(engine_name: str, tiny_model: Path, threads: int) -> None:
    engine = load_engine(engine_name, tiny_model, threads)
    assert engine.name == engine_name and engine.device and engine.info.width == WIDTH
    tolerance = 1e-5 if engine.precision == "f32" else 1e-2
    for count in (2, 6, 1, 5, 6):
        images, focal = batch(count, count)
        result = engine.infer(images, focal)
        expected = (1 + images.astype(np.float64).mean(-1)) * focal[:, None, None] / 100
        assert result.depth.dtype == result.sigma.dtype == np.float32
        np.testing.assert_allclose(result.depth, expected, rtol=tolerance)
        np.testing.assert_allclose(result.sigma, expected / 10, rtol=tolerance)
    engine.close()


@pytest.mark.parametrize(
    ("images", "threads", "streams"), [(6, 1, 1), (6, 2, 2), (6, 4, 3), (5, 4, 3), (6, 16, 6), (1, 8, 1), (5, 2, 2)]
)
def test_streams_are_loaded_evenly(images: int, threads: int, streams: int) -> None:
    assert stream_count(images, threads) == streams


def test_a_failing_request_ends_no_other_early(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays belong to the caller again when the error comes."""

    class Request:
        def __init__(self, fails: bool) -> None:
            self.fails, self.waited = fails, False

        def start_async(self, feeds: Any, share_inputs: bool) -> None: ...

        def wait(self) -> None:
            self.waited = True
            if self.fails:
                raise RuntimeError("broken")

    streams = ImageStreams(tiny_model, {"images": (1, HEIGHT, WIDTH, 3), "focal": (1,)}, 1, None)
    requests = [Request(fails=True), Request(fails=False)]
    monkeypatch.setattr(streams, "_enough", lambda images: requests)
    with pytest.raises(RuntimeError, match="broken"):
        streams.run({"focal": np.ones(2, np.float32)}, {})
    assert all(request.waited for request in requests)


def test_signals_reach_python_after_engines_came_and_went(engine_name: str, tiny_model: Path) -> None:
    """OpenVINO exchanges the stack that signals run on; the first engine ends first here."""
    script = f"""
import signal
from fsmde_core.engines import load_engine
signal.signal(signal.SIGUSR1, lambda *_: print("alive"))
engines = [load_engine({engine_name!r}, {str(tiny_model)!r}, threads=1) for _ in range(2)]
while engines:
    engines.pop(0).close()
signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_views_do_not_change_each_other(engine_name: str, tiny_model: Path) -> None:
    engine = load_engine(engine_name, tiny_model, threads=1)
    images, focal = batch(4)
    whole = engine.infer(images, focal).depth.copy()
    for i in range(4):
        np.testing.assert_allclose(engine.infer(images[i : i + 1], focal[i : i + 1]).depth[0], whole[i], rtol=1e-6)
    engine.close()


def test_student_on_real_images(engine_name: str, pandaset_root: Path) -> None:
    """Beyond the self-check's fixed input: within its tolerance of the reference on six cameras of a street."""
    path = find_shared("models/fsmde_student.onnx")
    if path is None:
        pytest.skip("models/fsmde_student.onnx is not there")
    engine, exact = load_engine(engine_name, path), load_engine("onnxruntime", path)
    size = (engine.info.width, engine.info.height)
    frame = next(PandaSetSource(pandaset_root).frames(0, 1))
    images = np.stack([rectify_rgb(frame.images[c.name].rgb(), c, *size) for c in frame.rig.cameras])
    focal = np.array([c.rectified(*size).fx for c in frame.rig.cameras], np.float32)
    found, expected = engine.infer(images, focal), exact.infer(images, focal)
    errors = np.abs(found.depth - expected.depth) / (expected.depth + expected.sigma)
    limit = TOLERANCE[engine.precision]
    assert Deviation(float(np.median(errors)), float(np.quantile(errors, 0.99))).within(limit)
    engine.close()
    exact.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images, focal: (images[:0], focal[:0]), r"images are \(0, 64, 112, 3\)"),
        (lambda images, focal: (images[:, :32], focal), r"images are \(2, 32, 112, 3\)"),
        (lambda images, focal: (images.astype(np.float32), focal), "float32, the model takes"),
        (lambda images, focal: (images, focal[:1]), r"focal is \(1,\) float32"),
        (lambda images, focal: (images, focal.astype(np.float64)), r"focal is \(2,\) float64"),
    ],
)
def test_batches_that_do_not_fit(engine_name: str, tiny_model: Path, change: Any, words: str) -> None:
    engine = load_engine(engine_name, tiny_model, threads=1)
    with pytest.raises(FsmdeError, match=words):
        engine.infer(*change(*batch(2)))
    engine.close()


def test_auto_takes_the_first_and_says_so(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        engine = load_engine("auto", tiny_model, threads=1)
    first = next(row.name for row in describe_engines() if row.available)
    assert engine.name == first
    assert f"engine auto: {first}" in caplog.text and engine.device in caplog.text
    engine.close()


class Lying:
    """An engine whose depth is off by `factor`."""

    name = "openvino"
    device = "CPU"
    precision = "f32"

    def __init__(self, info: Any, factor: float) -> None:
        self.info = info
        self.factor = factor
        self.closed = False

    def infer(self, images: np.ndarray, focal: np.ndarray) -> DepthBatch:
        truth = reference(self.info, len(images))
        return DepthBatch(truth.depth * np.float32(self.factor), truth.sigma)

    def close(self) -> None:
        self.closed = True


def use_module(monkeypatch: pytest.MonkeyPatch, name: str, variants: Any) -> None:
    """Put `variants` in place of those of engine `name`."""
    module = ModuleType(name)
    module.variants = variants  # type: ignore[attr-defined]
    original = select.engine_module
    monkeypatch.setattr(select, "engine_module", lambda asked: module if asked == name else original(asked))


@pytest.mark.parametrize("factor", [1.01, 0.5, float("nan")])
def test_lying_engine_is_refused(
    factor: float, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    liar = Lying(read_model_info(tiny_model), factor)
    use_module(monkeypatch, "openvino", lambda info, threads, cameras: iter([liar]))
    with pytest.raises(FsmdeError, match=r"openvino disagrees .* f32 deviates by median .* \(allowed median"):
        load_engine("openvino", tiny_model)
    assert liar.closed
    engine = load_engine("auto", tiny_model)
    assert engine.name == "onnxruntime"
    assert any(r.levelno == logging.ERROR and "openvino is passed over" in r.message for r in caplog.records)
    engine.close()


def test_a_coarse_precision_gives_way_to_the_next(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = read_model_info(tiny_model)
    coarse, exact = Lying(info, 1.2), Lying(info, 1.0)
    coarse.precision = "bf16"
    use_module(monkeypatch, "openvino", lambda info, threads, cameras: iter([coarse, exact]))
    assert load_engine("openvino", tiny_model) is exact
    assert coarse.closed and not exact.closed


@pytest.mark.parametrize("failure", [ImportError("no module"), OSError("libopenvino.so: cannot open")])
def test_absent_library_is_named(
    failure: Exception, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_import = select.importlib.import_module

    def failing(name: str) -> ModuleType:
        if name.endswith(".openvino"):
            raise failure
        return real_import(name)

    monkeypatch.setattr(select.importlib, "import_module", failing)
    with pytest.raises(FsmdeError, match="engine openvino cannot be used here"):
        load_engine("openvino", tiny_model)
    rows = {row.name: row for row in describe_engines()}
    assert not rows["openvino"].available and str(failure) in rows["openvino"].reason
    assert rows["onnxruntime"].available
    with caplog.at_level(logging.INFO):
        engine = load_engine("auto", tiny_model)
    assert engine.name == "onnxruntime"
    passed_over = [r for r in caplog.records if "openvino is passed over" in r.message]
    assert [r.levelno for r in passed_over] == [logging.INFO]
    engine.close()


def test_failing_library_is_an_error_of_ours(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def variants(info: Any, threads: int, cameras: int) -> Any:
        raise RuntimeError("no kernel\nlong trace")

    use_module(monkeypatch, "torch", variants)
    with pytest.raises(FsmdeError, match=r"engine torch fails on .*: no kernel$"):
        load_engine("torch", tiny_model)


def test_providers_of_onnxruntime(tiny_model: Path) -> None:
    engine = load_engine("onnxruntime", tiny_model, threads=1, providers=["CPUExecutionProvider"])
    assert engine.device == "CPU"
    engine.close()
    with pytest.raises(FsmdeError, match=r"no provider 'CudaProvider', only \[.*'CPUExecutionProvider'"):
        load_engine("onnxruntime", tiny_model, providers=["CPUExecutionProvider", "CudaProvider"])
    with pytest.raises(FsmdeError, match=r"are those of engine 'onnxruntime', but the engine is 'auto'"):
        load_engine("auto", tiny_model, providers=["CPUExecutionProvider"])


def test_a_provider_that_does_not_start_is_an_error(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime itself falls back to the CPU with a warning: as slow as if nobody had asked for a GPU."""
    from fsmde_core.engines import onnxruntime as engine_module

    cpu_session = engine_module.open_session(tiny_model, 1)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(engine_module, "open_session", lambda *_: cpu_session)
    with pytest.raises(FsmdeError, match="'CUDAExecutionProvider' does not start, it took 'CPUExecutionProvider'"):
        engine_module.OnnxRuntimeEngine(read_model_info(tiny_model), providers=["CUDAExecutionProvider"])


@pytest.mark.parametrize("sees_gpu", [False, True])
def test_torch_comes_early_only_where_it_serves_a_gpu(sees_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "_torch_has_gpu", lambda: sees_gpu)
    order = select.auto_order()
    assert sorted(order) == sorted(ENGINES) and order[0] == "tensorrt"
    assert (order.index("torch") < order.index("openvino")) == sees_gpu


def test_auto_does_not_import_torch_without_a_gpu(tiny_model: Path) -> None:
    script = f"""
import sys
from fsmde_core.engines import load_engine, select
select._driver_has_gpu = lambda: False
load_engine("auto", {str(tiny_model)!r}, threads=1).close()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_unknown_names_and_threads(tiny_model: Path) -> None:
    with pytest.raises(
        FsmdeError, match="'tpu' is unknown, expected one of auto, tensorrt, openvino, onnxruntime, torch"
    ):
        load_engine("tpu", tiny_model)
    with pytest.raises(FsmdeError, match="threads is -1"):
        load_engine("auto", tiny_model, threads=-1)


def test_model_of_another_contract(engine_name: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "other.onnx", outputs=("disparity", "sigma"))
    with pytest.raises(FsmdeError, match="the contract wants"):
        load_engine(engine_name, path)


def test_model_that_gives_no_depth(tmp_path: Path, tiny_model: Path) -> None:
    """A graph that fits the contract but divides by zero."""
    model = onnx.load(tiny_model)
    for tensor in model.graph.initializer:
        if tensor.name == "hundred":
            tensor.CopyFrom(numpy_helper.from_array(np.array(0, np.float32), "hundred"))
    path = tmp_path / "broken.onnx"
    onnx.save(model, path)
    with pytest.raises(FsmdeError, match=r"depth must be .* finite"):
        load_engine("onnxruntime", path)


def test_describe_has_a_row_per_engine() -> None:
    rows = describe_engines()
    assert tuple(row.name for row in rows) == ENGINES
    for row in rows:
        assert (row.version and row.devices and row.available) or row.reason


def test_check_input_is_fixed_and_has_structure(tiny_model: Path) -> None:
    info = read_model_info(tiny_model)
    first, second = check_input(info, 2), check_input(info, 2)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[0].shape == (2, HEIGHT, WIDTH, 3) and first[0].std() > 20
    assert not np.array_equal(first[0][0], first[0][1])


def test_deviation_is_relative_to_depth_and_sigma(tiny_model: Path) -> None:
    info = read_model_info(tiny_model)
    found = deviation(Lying(info, 1.1), reference(info, 2))
    # Half of the values are depth, off by a tenth of 1 / 1.1 of the scale; the other half is sigma, exact.
    assert found.p99 == pytest.approx(0.1 / 1.1, rel=1e-3) and found.median <= 0.1
    assert not Deviation(float("nan"), 0.0).within(Deviation(1.0, 1.0))


def test_models_away_from_home(engine_name: str, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mit Umlauten äöü" / "m.onnx"
    path.parent.mkdir()
    shutil.copy(tiny_model, path)
    load_engine(engine_name, path, threads=1).close()
