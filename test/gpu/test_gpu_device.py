"""What only a GPU can show: the shipped model in both precisions, memory, threads, the order of `auto`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path, read_model_info
from fsmde_core.engines.registry import auto_order
from fsmde_core.engines.self_check import TOLERANCE, deviation, reference
from fsmde_core.images.rectify import Preprocessor
from fsmde_core.pipeline.gpu_pipeline import GpuPipeline, open_pipeline
from support.tiny_model import HEIGHT, WIDTH

torch = pytest.importorskip("torch")

from fsmde_core.engines.torch.engine import TorchEngine
from fsmde_core.pipeline.gpu.torch.backend import TorchBackend
from support.gpu_cases import OPEN, RIG, raw

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu() -> Any:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return torch.device("cuda")


@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_the_shipped_model_follows_the_reference(gpu: Any, precision: str) -> None:
    """For every number of cameras; each is a graph of its own."""
    info = read_model_info(default_model_path())
    engine = TorchEngine(info, 0, 6, "cuda", precision)
    for count in (6, 1, 2, 3, 4, 5, 6):
        found = deviation(engine, reference(info, count))
        assert found.within(TOLERANCE[precision]), f"{count} cameras: {found}"
    engine.close()


def test_nothing_is_allocated_after_the_first_frames(gpu: Any, tiny_model: Path) -> None:
    engine = TorchEngine(read_model_info(tiny_model), 0, 4, "cuda")
    pipeline = GpuPipeline(engine, TorchBackend(engine), 4)
    pipeline.warm_up(4)
    images = {name: raw(RIG[name], i) for i, name in enumerate(RIG.names)}

    def frame(names: tuple[str, ...]) -> None:
        pipeline.pack(pipeline.run({name: images[name] for name in names}, RIG), OPEN)

    for _ in range(5):
        frame(RIG.names)
    before = torch.cuda.memory_stats()
    for dropped in range(4):
        frame(RIG.names[:dropped] + RIG.names[dropped + 1 :])
        frame(RIG.names)
    after = torch.cuda.memory_stats()
    for figure in ("num_device_alloc", "reserved_bytes.all.current", "allocation.all.allocated"):
        assert after[figure] == before[figure], figure
    pipeline.close()


def test_a_recording_and_copies_of_other_threads_do_not_disturb_each_other(gpu: Any, tiny_model: Path) -> None:
    """New calibrations are recorded by the threads that upload, while others upload and the network runs."""
    engine = TorchEngine(read_model_info(tiny_model), 0, 4, "cuda")
    pipeline = GpuPipeline(engine, TorchBackend(engine), 4)
    image = raw(RIG["front"], 0)
    with ThreadPoolExecutor(4) as pool:
        for turn in range(5):
            K = RIG["front"].K * [[1 + turn / 50], [1], [1]]
            cameras = [replace(RIG["front"], K=K + np.array([[0, 0, i], [0, 0, 0], [0, 0, 0]])) for i in range(4)]
            taken = list(pool.map(lambda source: pipeline.rectify(image, source), cameras))
            found = pipeline.infer(taken).rgb
            for source, rgb in zip(cameras, found, strict=True):
                expected = Preprocessor(WIDTH, HEIGHT).rectify(image, source).rgb.astype(int)
                assert np.abs(rgb - expected).max() <= 2
    pipeline.close()


def test_auto_takes_torch_where_it_has_a_gpu(gpu: Any, tiny_model: Path) -> None:
    assert auto_order()[:2] == ("tensorrt", "torch")
    engine = load_engine("torch", tiny_model, cameras=2)
    assert engine.device == torch.cuda.get_device_name() and engine.precision in ("f16", "f32")
    assert type(open_pipeline(engine, 2)) is GpuPipeline
