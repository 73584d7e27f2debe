"""TensorRT on a real GPU: the shipped student built, found again, compared with the reference, in graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines import load_engine
from fsmde_core.engines.model import default_model_path, read_model_info
from fsmde_core.engines.self_check import TOLERANCE, deviation, fixed_input, reference
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.engines.tensorrt.progress import LogProgress
from support.cuda_cases import gpu_driver

pytestmark = pytest.mark.gpu

CAMERAS = 6


@pytest.fixture(scope="module")
def driver() -> Driver:
    pytest.importorskip("tensorrt")
    return gpu_driver()


@pytest.fixture(scope="module")
def engines(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for the module: what one test built the next finds."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("engines")
        patch.setenv("FSMDE_ENGINES", str(folder))
        yield folder


@pytest.fixture
def engine(engines: Path) -> Iterator[Any]:
    loaded = load_engine("tensorrt", default_model_path(), cameras=CAMERAS)
    yield loaded
    loaded.close()


def test_every_number_of_cameras_follows_the_reference(engine: Any) -> None:
    assert engine.precision == "f16"
    for cameras in (*range(CAMERAS, 0, -1), CAMERAS):
        found = deviation(engine, reference(engine.info, cameras))
        assert found.within(TOLERANCE[engine.precision]), (cameras, found)
    assert all(milliseconds > 0 for milliseconds in engine.stage_ms().values())


def test_float32_follows_more_closely(engines: Path) -> None:
    from fsmde_core.engines.tensorrt.build import load_or_build_plan
    from fsmde_core.engines.tensorrt.engine import TensorRtEngine

    info = read_model_info(default_model_path())
    plan = load_or_build_plan(info, "fp32", CAMERAS, EngineCache(), LogProgress())
    exact = TensorRtEngine(info, "fp32", plan, CAMERAS)
    assert deviation(exact, reference(info, CAMERAS)).within(TOLERANCE["f32"])
    exact.close()


def test_a_kept_engine_is_not_built_again(engine: Any, engines: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in engines.glob("*.engine")}
    load_engine("tensorrt", default_model_path(), cameras=CAMERAS).close()
    assert before and {path: path.stat().st_mtime_ns for path in engines.glob("*.engine")} == before


def test_nothing_is_allocated_after_the_start(engine: Any, driver: Driver) -> None:
    images, focal = fixed_input(engine.info, CAMERAS)
    engine.infer(images, focal)
    with driver.as_current():
        free = driver.cuda.mem_get_info()[0]
        for count in (6, 3, 1, 6, 2, 5, 4):
            engine.infer(images[:count], focal[:count])
        assert driver.cuda.mem_get_info()[0] == free


def test_enqueue_gives_what_infer_gives(engine: Any, driver: Driver) -> None:
    images, focal = fixed_input(engine.info, 3)
    expected = engine.infer(images, focal).depth.copy()
    with driver.as_current():
        stream = driver.create_stream()
        memory = [driver.allocate(n) for n in (images.nbytes, focal.nbytes, expected.nbytes, expected.nbytes)]
        addresses = [int(block) for block in memory]
        engine.enqueue(stream, *addresses, 3)  # captures
        driver.to_device(addresses[0], images, stream)
        driver.to_device(addresses[1], focal, stream)
        engine.enqueue(stream, *addresses, 3)
        found = driver.allocate_pinned(expected.shape, np.float32)
        driver.to_host(found, addresses[2], stream)
        stream.synchronize()
    np.testing.assert_array_equal(found, expected)
