"""Engines agree with each other and refuse what does not fit; how one is chosen is in test_registry."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fsmde_core.engines import ENGINES, load_engine, registry
from fsmde_core.engines.openvino import ImageStreams, stream_count
from fsmde_core.engines.self_check import TOLERANCE, Deviation
from fsmde_core.errors import FsmdeError
from fsmde_core.images.rectify import rectify_rgb
from fsmde_core.paths import find_shared
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from support.tiny_model import HEIGHT, WIDTH, write_tiny_model


def batch(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return images, generator.uniform(50, 200, count).astype(np.float32)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    try:
        registry.engine_module(request.param)
    except registry.AbsentEngineError as error:
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
    monkeypatch.setattr(streams, "_requests", lambda images: requests)
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


def test_models_away_from_home(engine_name: str, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mit Umlauten äöü" / "m.onnx"
    path.parent.mkdir()
    shutil.copy(tiny_model, path)
    load_engine(engine_name, path, threads=1).close()
