"""The engine from the ONNX file to depth, on a TensorRT made of its real bindings and a GPU made of NumPy."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.engines import load_engine
from fsmde_core.engines.base import DepthBatch
from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine
from fsmde_core.engines.self_check import Deviation, fixed_input, reference
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.errors import FsmdeError
from support.fake_tensorrt import FakeTensorRt
from support.small_network import write_quantised
from support.tensorrt_fake_setup import build_and_infer
from support.tiny_model import HEIGHT, WIDTH


def batch(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return images, rng.uniform(50, 200, count).astype(np.float32)


def expected(model: Path, images: np.ndarray, focal: np.ndarray) -> DepthBatch:
    return OnnxRuntimeEngine(read_model_info(model), threads=1).infer(images, focal)


def test_engine_serves_every_number_of_cameras(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine = load_engine("tensorrt", small_model, cameras=6)
    assert (engine.name, engine.device, engine.precision) == ("tensorrt", "Fake GPU", "f16")
    for count in (6, 1, 5, 2, 6, 3, 4):
        images, focal = batch(count, seed=count)
        found, truth = engine.infer(images, focal), expected(small_model, images, focal)
        assert found.depth.shape == (count, HEIGHT, WIDTH)
        np.testing.assert_allclose(found.depth, truth.depth, rtol=5e-3)
        np.testing.assert_allclose(found.sigma, truth.sigma, rtol=5e-3)
    engine.close()


def test_auto_takes_it_and_float32_stands_in_for_a_coarse_half(
    fake_tensorrt: FakeTensorRt, small_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"f16": Deviation(0, 0), "f32": Deviation(1, 1)}
    monkeypatch.setattr("fsmde_core.engines.registry.tolerance", lambda engine: limits[engine.precision])
    with caplog.at_level(logging.INFO):
        engine = load_engine("auto", small_model)
    assert (engine.name, engine.precision) == ("tensorrt", "f32")
    assert "engine tensorrt in f16 deviates by" in caplog.text
    engine.close()


def test_an_engine_that_tensorrt_refuses_is_built_anew(
    fake_tensorrt: FakeTensorRt, small_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole, of this GPU and this TensorRT by its description, and yet not taken."""
    load_engine("tensorrt", small_model).close()
    (path,) = EngineCache().folder.glob("*.engine")
    sidecar = path.with_suffix(".json")
    described = json.loads(sidecar.read_bytes())
    path.write_bytes(b"of another driver")
    sidecar.write_text(json.dumps({**described, "engine_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    load_engine("tensorrt", small_model).close()
    assert "the engine is built anew: " in caplog.text and "magicTag mismatch" in caplog.text
    assert json.loads(sidecar.read_bytes()) == described
    assert hashlib.sha256(path.read_bytes()).hexdigest() == described["engine_sha256"]


def test_nothing_is_allocated_after_the_start(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine = load_engine("tensorrt", small_model, cameras=6)
    allocations, contexts = fake_tensorrt.gpu.allocations, len(fake_tensorrt.made["IExecutionContext"])
    graphs = len(fake_tensorrt.gpu.graphs)
    assert graphs == contexts == 6
    for count in (6, 3, 6, 1):
        engine.infer(*batch(count))
    assert fake_tensorrt.gpu.allocations == allocations
    assert len(fake_tensorrt.made["IExecutionContext"]) == len(fake_tensorrt.gpu.graphs) == 6
    assert sum(graph.launches for graph in fake_tensorrt.gpu.graphs) == 4 + 6  # the self-check runs each number once
    engine.close()


def test_any_thread_may_call(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine = load_engine("tensorrt", small_model)
    images, focal = batch(2)
    here = engine.infer(images, focal).depth.copy()
    results: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: results.append(engine.infer(images, focal).depth.copy()))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(results[0], here)
    engine.close()


def test_enqueue_works_between_buffers_on_the_gpu(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine: Any = load_engine("tensorrt", small_model)
    images, focal = batch(4)
    gpu = fake_tensorrt.gpu
    with gpu.as_current():
        stream, memory = gpu.create_stream(), [gpu.allocate(n) for n in (images.nbytes, 16, 4 * HEIGHT * WIDTH * 4)]
        sigma = gpu.allocate(4 * HEIGHT * WIDTH * 4)
        addresses = [int(block) for block in (*memory, sigma)]
        engine.enqueue(stream, *addresses, 4)  # captures
        graphs = len(gpu.graphs)
        gpu.to_device(addresses[0], images, stream)
        gpu.to_device(addresses[1], focal, stream)
        engine.enqueue(stream, *addresses, 4)
        depth = np.empty((4, HEIGHT, WIDTH), np.float32)
        gpu.to_host(depth, addresses[2], stream)
        stream.synchronize()
    assert len(gpu.graphs) == graphs
    np.testing.assert_allclose(depth, expected(small_model, images, focal).depth, rtol=5e-3)
    engine.close()


def test_too_many_cameras_are_named(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine = load_engine("tensorrt", small_model, cameras=7)
    engine.infer(*batch(7))
    with pytest.raises(FsmdeError, match="8 images in one batch, the TensorRT engine takes 1 to 7"):
        engine.infer(*batch(8))
    engine.close()


def test_a_quantised_file_is_built_as_it_is(fake_tensorrt: FakeTensorRt, tmp_path: Path) -> None:
    path = write_quantised(tmp_path / "int8.onnx")
    engine = load_engine("tensorrt", path)
    assert engine.precision == "int8"
    info = read_model_info(path)
    np.testing.assert_allclose(engine.infer(*fixed_input(info, 2)).depth, reference(info, 2).depth, rtol=0.1)
    engine.close()


def test_a_graph_that_the_parser_refuses_is_named(
    fake_tensorrt: FakeTensorRt, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmde_core.engines.tensorrt.network._cast_images_first", lambda graph: None)
    with pytest.raises(FsmdeError, match=r"cannot take this model: uint8 in Transpose \(node 'node_0_Transpose', oper"):
        load_engine("tensorrt", small_model)


def test_what_is_asked_of_the_builder(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    build_and_infer(small_model)
    config = fake_tensorrt.made["IBuilderConfig"][0]._act
    assert "TF32" not in config.flags and config.limits == {"WORKSPACE": 64 << 20}
    assert config.profiles[0].shapes == {
        "images": [(1, HEIGHT, WIDTH, 3), (6, HEIGHT, WIDTH, 3), (6, HEIGHT, WIDTH, 3)],
        "focal": [(1,), (6,), (6,)],
    }


def test_timings_serve_the_next_build_on_the_same_gpu(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    load_engine("tensorrt", small_model, cameras=6).close()
    (timing,) = EngineCache().folder.glob("timing-*.cache")
    assert timing.read_bytes() == b"timing of Fake GPU"
    load_engine("tensorrt", small_model, cameras=7).close()
    assert [config._act.cache.data for config in fake_tensorrt.made["IBuilderConfig"]] == [b"", b"timing of Fake GPU"]
    timing.write_bytes(b"timing of another GPU")
    load_engine("tensorrt", small_model, cameras=8).close()
    assert fake_tensorrt.made["IBuilderConfig"][-1]._act.cache.data == b""
    assert timing.read_bytes() == b"timing of Fake GPU"


def test_a_kept_engine_is_not_built_again_and_another_gpus_is(
    fake_tensorrt: FakeTensorRt, small_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_engine("tensorrt", small_model).close()
    load_engine("tensorrt", small_model).close()
    assert len(fake_tensorrt.made["Builder"]) == 1
    fake_tensorrt.gpu.name = "Other GPU"
    with caplog.at_level(logging.INFO, "fsmde_core.engines.tensorrt.cache"):
        load_engine("tensorrt", small_model).close()
    assert len(fake_tensorrt.made["Builder"]) == 2
    (line,) = [record.message for record in caplog.records if record.name == "fsmde_core.engines.tensorrt.cache"]
    assert line.endswith("comes nearest: gpu is Fake GPU, expected Other GPU")


def test_stages_have_times(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    engine: Any = load_engine("tensorrt", small_model)
    engine.infer(*batch(2))
    assert engine.stage_ms() == {"upload": 0.5, "infer": 0.5, "download": 0.5}
    engine.close()
