"""What only a real GPU can show: memory, errors and graphs of the driver, and many frames at full size.

The kernels' and the backend's other tests run on the GPU as well, under the mark `gpu`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.cuda.driver import Driver
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu.cuda import sampling
from fsmde_core.pipeline.gpu.cuda.backend import CudaBackend
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera
from support.cuda_cases import given_depth, gpu_driver, noise_image, plain_sample, sampling_of

pytestmark = pytest.mark.gpu


@pytest.fixture
def driver() -> Iterator[Driver]:
    """With its context current; a warning of pycuda, as of memory that it cannot free, is an error."""
    driver = gpu_driver()
    with warnings.catch_warnings(), driver.as_current():
        warnings.simplefilter("error", UserWarning)
        yield driver


def test_copies_go_there_and_back(driver: Driver) -> None:
    there, back, stream = (
        driver.allocate_pinned((1000,), np.float32),
        driver.allocate_pinned((1000,), np.float32),
        driver.create_stream(),
    )
    there[:] = np.arange(1000)
    memory = driver.allocate(there.nbytes)
    started, done = driver.create_event(), driver.create_event()
    driver.record_event(started, stream)
    driver.to_device(int(memory), there, stream)
    driver.memset(int(memory), 0, 40, stream)
    driver.to_host(back, int(memory), stream)
    driver.record_event(done, stream)
    driver.synchronize(done)
    assert np.array_equal(back, np.where(np.arange(1000) < 10, 0, there))
    assert 0 < driver.elapsed_ms(started, done) < 1000


def test_memory_freed_in_another_thread_is_free(driver: Driver) -> None:
    nbytes = 1 << 30
    before, _ = driver.cuda.mem_get_info()
    held: list[Any] = [driver.allocate(nbytes)]
    assert driver.cuda.mem_get_info()[0] <= before - nbytes
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert driver.cuda.mem_get_info()[0] > before - nbytes


def test_errors_name_the_call(driver: Driver) -> None:
    with pytest.raises(FsmdeError, match=r"^GPU call cuMemAlloc failed: out of memory$"):
        driver.allocate(2 * driver.total_memory)
    module = driver.load_module(Path(sampling.__file__).parent / "kernels" / "sample.cu")
    nothing = np.zeros(1, sampling.BATCH)[0]
    with pytest.raises(FsmdeError, match=r"^GPU call cuModuleGetFunction\(absent\) failed: "):
        module.launch("absent", (1,), (1,), driver.create_stream(), nothing)
    with pytest.raises(FsmdeError, match=r"^GPU call cuLaunchKernel\(sample\) failed: invalid "):
        module.launch("sample", (1,), (4096,), driver.create_stream(), nothing)


def test_a_graph_repeats_what_was_recorded(driver: Driver) -> None:
    stream, memory, back = driver.create_stream(), driver.allocate(4), driver.allocate_pinned((4,), np.uint8)
    with driver.capture(stream) as graph:
        driver.memset(int(memory), 1, 4, stream)
        driver.memset(int(memory), 2, 2, stream)
        driver.to_host(back, int(memory), stream)
    back[:] = 0
    stream.synchronize()
    assert not back.any()  # recorded, not run
    for _ in range(2):
        back[:] = 0
        graph.launch(stream)
        stream.synchronize()
        assert back.tolist() == [2, 2, 1, 1]


def test_what_cannot_be_recorded_is_an_error_that_names_the_call(driver: Driver) -> None:
    stream = driver.create_stream()
    with pytest.raises(FsmdeError, match=r"^GPU call cu\w+ failed: "), driver.capture(stream):
        driver.call("cuStreamSynchronize", stream.synchronize)


def test_full_size_over_many_frames(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six distorted 1600x900 cameras at 640x384: every frame is right, and nothing is allocated once it runs."""
    width, height = 640, 384
    K = np.array([[1260.0, 0, 800], [0, 1260, 450], [0, 0, 1]])
    lens = np.array([-0.2, 0.05, 0, 0])
    cameras = [Camera(f"camera_{index}", 1600, 900, K, rigid(np.eye(3), (index, 0, 0)), D=lens) for index in range(6)]
    ways = [sampling_of(camera, width, height, halvings=0, supersample=2) for camera in cameras]
    targets = [camera.rectified(width, height) for camera in cameras]
    engine = given_depth(driver, 6, width, height)
    engine.depth[:] = np.random.default_rng(0).uniform(0.5, 120, engine.depth.shape)
    backend = CudaBackend(engine, 6, driver)
    images = [noise_image("bayer_rggb8", 1600, 900, padding=64, seed=index) for index in range(6)]
    expected = np.stack([plain_sample(image, way) for image, way in zip(images, ways, strict=True)])
    settings = CloudSettings()
    for frame in range(50):
        order = np.roll(np.arange(6), frame)
        uploads = [backend.upload(images[index], ways[index]) for index in order]
        result = backend.infer(uploads, np.ones(6, np.float32))
        cloud = backend.pack(targets, settings)
        difference = np.abs(result.rgb.astype(int) - expected[order])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.002
        if frame == 2:  # the card's free memory would tell of other processes as well
            monkeypatch.setattr(driver, "allocate", None)
            monkeypatch.setattr(driver, "allocate_pinned", None)
    reference = CloudPacker(settings).pack(targets, result.rgb, result.depth, result.sigma)
    assert cloud.count == reference.count
    np.testing.assert_allclose(cloud.records()[:, :3], reference.records()[:, :3], rtol=1e-5, atol=1e-4)
    print({stage: round(ms, 3) for stage, ms in result.stage_ms.items()})
    backend.close()


def test_a_backend_may_live_in_any_thread() -> None:
    gpu_driver()
    results: list[Any] = []

    def work() -> None:
        engine = SimpleNamespace(info=SimpleNamespace(width=8, height=6), enqueue=lambda *arguments: None)
        backend = CudaBackend(engine, 1)
        way = sampling_of(Camera("front", 8, 6, np.array([[5.0, 0, 4], [0, 5, 3], [0, 0, 1]])), 8, 6, 0, 1)
        image = noise_image("rgb8", 8, 6)
        results.append(np.abs(backend.infer([backend.upload(image, way)], np.ones(1, np.float32)).rgb[0].astype(int)))
        results.append(plain_sample(image, way))
        backend.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert np.array_equal(*results)
