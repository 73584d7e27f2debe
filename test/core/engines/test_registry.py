"""Choosing an engine: `auto` and its order, absent and failing libraries, and liars, which the self-check finds."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from fsmde_core.engines import ENGINES, DepthBatch, describe_engines, load_engine, registry
from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.self_check import TOLERANCE, Deviation, deviation, fixed_input, reference
from fsmde_core.errors import FsmdeError
from support.small_network import write_quantised
from support.tiny_model import HEIGHT, WIDTH


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
    original = registry.engine_module
    monkeypatch.setattr(registry, "engine_module", lambda asked: module if asked == name else original(asked))


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
    real_import = registry.importlib.import_module

    def failing(name: str) -> ModuleType:
        if name.endswith(".openvino"):
            raise failure
        return real_import(name)

    monkeypatch.setattr(registry.importlib, "import_module", failing)
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


class WrongWhenFew(Lying):
    """Right for the asked number of images, wrong for fewer."""

    def infer(self, images: np.ndarray, focal: np.ndarray) -> DepthBatch:
        self.factor = 1.0 if len(images) == 2 else 1.1
        return super().infer(images, focal)


def test_batches_of_fewer_images_are_compared_too(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = WrongWhenFew(read_model_info(tiny_model), 1.0)
    use_module(monkeypatch, "openvino", lambda *_: iter([engine]))
    with pytest.raises(FsmdeError, match="disagrees with the ONNX reference"):
        load_engine("openvino", tiny_model, cameras=2)
    assert engine.closed


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_quantised_files_serve_in_float32_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines round in another order than the reference, so a value may fall on another step: the file's tolerance."""
    model = write_quantised(tmp_path / "int8.onnx")
    coarse = deviation_of(model, factor=1.01)
    assert not coarse.within(TOLERANCE["f32"]) and coarse.within(TOLERANCE["int8"])
    use_module(monkeypatch, name, lambda info, *_: iter([Lying(info, 1.01)]))
    assert load_engine(name, model).precision == "f32"
    with pytest.raises(FsmdeError, match="disagrees"):
        use_module(monkeypatch, name, lambda info, *_: iter([Lying(info, 1.5)]))
        load_engine(name, model)


def deviation_of(model: Path, factor: float) -> Deviation:
    info = read_model_info(model)
    return deviation(Lying(info, factor), reference(info, 2))


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
    monkeypatch.setattr(registry, "_torch_has_gpu", lambda: sees_gpu)
    order = registry.auto_order()
    assert sorted(order) == sorted(ENGINES) and order[0] == "tensorrt"
    assert (order.index("torch") < order.index("openvino")) == sees_gpu


def test_auto_does_not_import_torch_without_a_gpu(tiny_model: Path) -> None:
    script = f"""
import sys
from fsmde_core.engines import load_engine, registry
registry._driver_has_gpu = lambda: False
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


def test_describe_has_a_row_per_engine() -> None:
    rows = describe_engines()
    assert tuple(row.name for row in rows) == ENGINES
    for row in rows:
        assert (row.version and row.devices and row.available) or row.reason


def test_the_fixed_input_is_fixed_and_has_structure(tiny_model: Path) -> None:
    info = read_model_info(tiny_model)
    first, second = fixed_input(info, 2), fixed_input(info, 2)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[0].shape == (2, HEIGHT, WIDTH, 3) and first[0].std() > 20
    assert not np.array_equal(first[0][0], first[0][1])


def test_deviation_is_relative_to_depth_and_sigma(tiny_model: Path) -> None:
    info = read_model_info(tiny_model)
    found = deviation(Lying(info, 1.1), reference(info, 2))
    # Half of the values are depth, off by a tenth of 1 / 1.1 of the scale; the other half is sigma, exact.
    assert found.p99 == pytest.approx(0.1 / 1.1, rel=1e-3) and found.median <= 0.1
    assert not Deviation(float("nan"), 0.0).within(Deviation(1.0, 1.0))
