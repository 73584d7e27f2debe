"""The backend around a network on device addresses: partial sets, threads, memory that goes round, order on streams."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu.cuda.backend import CudaBackend
from fsmde_core.pipeline.gpu.cuda.uploads import CudaUploader
from fsmde_core.rig.rig import Camera
from support.cuda_cases import GivenDepth, given_depth, noise_image, on_each_driver, plain_sample, plain_sampling
from support.cuda_host import HostDriver

W, H = 24, 14
WAY = plain_sampling(W, H)
STAGES = {"upload", "sample", "infer", "download"}


def ones(count: int) -> np.ndarray:
    return np.ones(count, np.float32)


def pinhole(name: str) -> Camera:
    return Camera(name, W, H, np.array([[20.0, 0, 12], [0, 20, 7], [0, 0, 1]]))


@on_each_driver
@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_cameras_up_to_the_engines(count: int, make_driver: Callable[[], Any]) -> None:
    driver = make_driver()
    generator = np.random.default_rng(0)
    depth, sigma = generator.uniform(1, 50, (2, 4, H, W)).astype(np.float32)
    engine = GivenDepth(driver, depth, sigma)
    backend = CudaBackend(engine, 4, driver)
    images = [noise_image("yuyv", W, H, seed=index) for index in range(count)]
    focal = generator.uniform(100, 200, count).astype(np.float32)
    result = backend.infer([backend.upload(image, WAY) for image in images], focal)
    assert np.array_equal(result.rgb, [plain_sample(image, WAY) for image in images])
    assert np.array_equal(result.depth, depth[:count])
    assert np.array_equal(result.sigma, sigma[:count])
    assert np.array_equal(engine.focal[:count], focal)
    assert set(result.stage_ms) == STAGES
    cloud = backend.pack([pinhole(f"camera_{index}") for index in range(count)], CloudSettings())
    assert cloud.count == np.count_nonzero(CloudPacker(CloudSettings()).keep(depth[:count], sigma[:count]))
    assert set(result.stage_ms) == STAGES | {"pack", "cloud_down", "cloud_copied"}
    assert all(0 <= ms < 60_000 for ms in result.stage_ms.values())
    backend.close()


class _Together(list[Any]):
    """A list that threads leave only when each has put its own in."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._all = Barrier(threads)

    def append(self, item: Any) -> None:
        super().append(item)
        self._all.wait()


def test_images_that_come_first_and_at_once_have_memory_of_their_own() -> None:
    driver = HostDriver()

    def upload(seed: int) -> Any:
        with driver.as_current():
            return uploader.upload(noise_image("mono8", W, H, seed=seed), WAY)

    with driver.as_current():
        uploader = CudaUploader(driver, W, H)
    uploader._buffers = _Together(4)
    with ThreadPoolExecutor(4) as pool:
        uploads = list(pool.map(upload, range(4)))
    assert len({id(upload.buffer) for upload in uploads}) == 4


@on_each_driver
def test_images_may_come_in_parallel_and_go_when_the_call_returns(make_driver: Callable[[], Any]) -> None:
    """Buffers are overwritten as soon as their upload returns; each handle keeps its own image."""
    driver = make_driver()
    backend = CudaBackend(given_depth(driver, 8, W, H), 8, driver)
    expected = [plain_sample(noise_image("rgb8", W, H, padding=index, seed=index), WAY) for index in range(8)]

    def upload(index: int) -> Any:
        image = noise_image("rgb8", W, H, padding=index, seed=index)
        data = bytearray(image.data)
        handle = backend.upload(type(image)(data, "rgb8", W, H, image.step), WAY)
        data[:] = bytes(len(data))
        return handle

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            handles = list(pool.map(upload, range(8)))
            assert np.array_equal(backend.infer(handles, ones(8)).rgb, expected)
            assert np.array_equal(backend.infer(handles[::-1], ones(8)).rgb, expected[::-1])
    del handles
    backend.close()


@pytest.mark.parametrize("seed", range(10))
def test_results_do_not_depend_on_when_the_streams_run(seed: int) -> None:
    """Handles dropped before they were inferred, clouds between sets, one slot used at once again."""
    driver = HostDriver(seed)
    backend = CudaBackend(given_depth(driver, 2, W, H), 2, driver)
    for frame in range(4):
        images = [noise_image("bgr8", W, H, seed=10 * frame + index) for index in range(3)]
        backend.upload(images[2], WAY)  # dropped at once
        handles = [backend.upload(image, WAY) for image in images[:2]]
        result = backend.infer(handles, ones(2))
        assert np.array_equal(result.rgb, [plain_sample(image, WAY) for image in images[:2]])
        cloud = backend.pack([pinhole("a"), pinhole("b")], CloudSettings())
        colors = cloud.records()[:, 3].copy().view(np.uint32)
        rgb = result.rgb.reshape(-1, 3).astype(np.uint32)
        assert np.array_equal(colors, rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2])
    backend.close()


def test_nothing_is_allocated_after_the_first_frame_and_all_comes_back() -> None:
    driver = HostDriver()
    backend = CudaBackend(given_depth(driver, 3, W, H), 3, driver)
    cameras = [pinhole(name) for name in "abc"]
    counts = []
    for frame in range(6):
        images = [noise_image("rgb8", W, H, seed=frame + index) for index in range(3)]
        handles = [backend.upload(image, WAY) for image in images]
        backend.infer(handles, ones(3))
        backend.pack(cameras, CloudSettings(voxel_size=0.5))
        backend.pack(cameras, CloudSettings(stride=1 + frame % 3))
        del handles
        counts.append(driver.allocations)
    assert counts[1:] == counts[:-1]
    backend.close()
    gc.collect()
    assert driver.in_use == 0


def test_maps_go_up_once_per_calibration_and_go_with_it() -> None:
    driver = HostDriver()
    backend = CudaBackend(given_depth(driver, 1, W, H), 1, driver)
    image = noise_image("rgb8", W, H)
    backend.infer([backend.upload(image, WAY)], ones(1))
    before = driver.in_use
    for _ in range(3):
        way = plain_sampling(W, H)
        handle = backend.upload(image, way)
        backend.infer([handle], ones(1))
        assert driver.in_use == before + way.maps.nbytes
        del way, handle
        assert driver.in_use == before
    backend.close()


def test_a_failing_network_leaves_the_backend_usable() -> None:
    class Failing(GivenDepth):
        failing = True

        def enqueue(self, *arguments: Any, **named: Any) -> None:
            if self.failing:
                raise FsmdeError("the network failed")
            super().enqueue(*arguments, **named)

    driver = HostDriver()
    depth = np.full((1, H, W), 5, np.float32)
    engine = Failing(driver, depth, depth / 10)
    backend = CudaBackend(engine, 1, driver)
    image = noise_image("mono8", W, H)
    with pytest.raises(FsmdeError, match="the network failed"):
        backend.infer([backend.upload(image, WAY)], ones(1))
    engine.failing = False
    assert np.array_equal(backend.infer([backend.upload(image, WAY)], ones(1)).rgb[0], plain_sample(image, WAY))
    backend.close()


def test_sets_of_the_wrong_size_are_refused() -> None:
    driver = HostDriver()
    backend = CudaBackend(given_depth(driver, 2, W, H), 2, driver)
    handle = backend.upload(noise_image("rgb8", W, H), WAY)
    for handles in ([], [handle] * 3):
        with pytest.raises(FsmdeError, match=rf"set of {len(handles)} images, this engine takes 1 to 2"):
            backend.infer(handles, ones(len(handles)))
    with pytest.raises(FsmdeError, match="cloud of 1 cameras was asked for, the last set has 0"):
        backend.pack([pinhole("a")], CloudSettings())
    backend.close()
