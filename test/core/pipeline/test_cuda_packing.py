"""Kernels of pack.cu: records against the CPU's packer, every gate, stride and voxel size, in whatever thread order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.clouds.packer import CloudPacker, CloudSettings, PackedCloud
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.gpu.cuda.backend import CudaBackend
from fsmde_core.rig.geometry import rigid, rotation_from_quaternion
from fsmde_core.rig.rig import Camera
from support.cuda_cases import GivenDepth, on_each_driver, plain_sampling
from support.cuda_host import HostDriver
from support.depth_scenes import depth_scene

ALL = CloudSettings(min_range=0.0, max_range=200.0, max_relative_sigma=1e6)


def make_cameras(count: int, width: int, height: int) -> list[Camera]:
    generator = np.random.default_rng(count)
    cameras = []
    for index in range(count):
        K = np.array([[0.7 * width + index, 0, 0.48 * width], [0, 0.8 * width, 0.51 * height], [0, 0, 1]])
        pose = rigid(rotation_from_quaternion(*generator.normal(size=4)), generator.normal(0, 2, 3))
        cameras.append(Camera(f"camera_{index}", width, height, K, pose))
    return cameras


class Scene:
    """A backend that has just inferred `depth_scene`."""

    def __init__(self, driver: Any, count: int, width: int, height: int, seed: int = 0) -> None:
        self.cameras = make_cameras(count, width, height)
        self.rgb, self.depth, self.sigma = depth_scene(count, height, width, seed)
        self.backend = CudaBackend(GivenDepth(driver, self.depth, self.sigma), count, driver)
        way = plain_sampling(width, height)
        uploads = [self.backend.upload(RawImage.from_rgb(image), way) for image in self.rgb]
        self.result = self.backend.infer(uploads, np.ones(count, np.float32))

    def packed(self, cloud_settings: CloudSettings) -> PackedCloud:
        return self.backend.pack(self.cameras, cloud_settings)

    def expected(self, cloud_settings: CloudSettings) -> PackedCloud:
        return CloudPacker(cloud_settings).pack(self.cameras, self.rgb, self.depth, self.sigma)


def assert_same_cloud(found: PackedCloud, expected: PackedCloud) -> None:
    """Places to 1e-5 of the distance, as single operations may round differently; all else to the bit."""
    assert (found.count, found.fields, found.is_dense) == (expected.count, expected.fields, True)
    assert len(found.data) == found.count * found.point_step
    if found.count:
        a, b = found.records(), expected.records()
        distance = np.linalg.norm(b[:, :3], axis=1) + 10
        assert (np.abs(a[:, :3] - b[:, :3]).max(1) <= 1e-5 * distance).all()
        assert np.array_equal(a[:, 3:].view(np.uint32), b[:, 3:].view(np.uint32))


@on_each_driver
@pytest.mark.parametrize(
    "cloud_settings",
    [
        CloudSettings(),
        CloudSettings(color=False),
        CloudSettings(min_range=20.0, max_range=40.0),
        CloudSettings(max_relative_sigma=0.1),
        CloudSettings(stride=3),
        CloudSettings(stride=100),
        CloudSettings(min_range=95.0, max_range=96.0),
        ALL,
    ],
)
@pytest.mark.parametrize(("count", "width", "height"), [(1, 5, 3), (3, 41, 23), (6, 64, 48)])
def test_records_are_the_cpu_packers(
    count: int, width: int, height: int, cloud_settings: CloudSettings, make_driver: Callable[[], Any]
) -> None:
    scene = Scene(make_driver(), count, width, height)
    assert_same_cloud(scene.packed(cloud_settings), scene.expected(cloud_settings))
    scene.backend.close()


@on_each_driver
def test_limits_belong_to_the_gates(make_driver: Callable[[], Any]) -> None:
    driver = make_driver()
    low, high, relative = np.float32(2), np.float32(40), np.float32(0.25)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    depth = np.array([low, np.nextafter(low, down), high, np.nextafter(high, up), 8, 8, 8, 8], np.float32)
    sigma = np.array([0, 0, 0, 0, 2, np.nextafter(np.float32(2), up), -1e-30, np.inf], np.float32)
    backend = CudaBackend(GivenDepth(driver, depth[None, None], sigma[None, None]), 1, driver)
    image = RawImage.from_rgb(np.zeros((1, 8, 3), np.uint8))
    backend.infer([backend.upload(image, plain_sampling(8, 1))], np.ones(1, np.float32))
    cloud = backend.pack(make_cameras(1, 8, 1), CloudSettings(float(low), float(high), float(relative)))
    assert cloud.records()[:, 4].tolist() == [0, 0, 2]
    backend.close()


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_any_scene_and_gates(data: st.DataObject) -> None:
    low = data.draw(st.floats(0, 60, width=32))
    cloud_settings = CloudSettings(
        min_range=low,
        max_range=low + data.draw(st.floats(0.5, 60, width=32)),
        max_relative_sigma=data.draw(st.floats(0.01, 1)),
        stride=data.draw(st.integers(1, 9)),
        color=data.draw(st.booleans()),
    )
    sizes = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 50)), data.draw(st.integers(1, 20)))
    scene = Scene(HostDriver(), *sizes, seed=data.draw(st.integers(0, 99)))
    assert_same_cloud(scene.packed(cloud_settings), scene.expected(cloud_settings))
    scene.backend.close()


def first_of_each_cube(records: np.ndarray, size: float) -> np.ndarray:
    """Indices of the records that come first in their cube."""
    seen: set[tuple[int, ...]] = set()
    kept = []
    for index, point in enumerate(records[:, :3]):
        cube = tuple(np.floor(point * np.float32(1 / size)).astype(int).tolist())
        if cube not in seen:
            seen.add(cube)
            kept.append(index)
    return np.array(kept, int)


@on_each_driver
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("size", [0.05, 1.0, 25.0, 1000.0])
def test_voxels_keep_the_first_point_of_each_cube(size: float, color: bool, make_driver: Callable[[], Any]) -> None:
    scene = Scene(make_driver(), 3, 60, 40)
    everything = scene.packed(CloudSettings(max_range=200.0, color=color)).records().copy()
    reduced = scene.packed(CloudSettings(max_range=200.0, color=color, voxel_size=size)).records()
    kept = first_of_each_cube(everything, size)
    assert np.array_equal(reduced.view(np.uint32), everything[kept].view(np.uint32))
    if size == 1000.0:
        assert len(kept) <= 8  # the cubes that meet at the origin
    scene.backend.close()


@on_each_driver
def test_clouds_of_one_result_do_not_disturb_each_other(make_driver: Callable[[], Any]) -> None:
    """More points after fewer, voxels and none, with and without colour, on one buffer."""
    scene = Scene(make_driver(), 2, 40, 30)
    for cloud_settings in (
        CloudSettings(stride=4),
        ALL,
        CloudSettings(voxel_size=5.0),
        CloudSettings(color=False),
        CloudSettings(voxel_size=2.0, stride=2),
        CloudSettings(),
    ):
        found = scene.packed(cloud_settings)
        if cloud_settings.voxel_size:
            assert 0 < found.count < scene.expected(CloudSettings(stride=cloud_settings.stride)).count
        else:
            assert_same_cloud(found, scene.expected(cloud_settings))
    scene.backend.close()


@on_each_driver
def test_a_cloud_that_is_still_looked_at_stays_as_it_is(make_driver: Callable[[], Any]) -> None:
    scene = Scene(make_driver(), 1, 30, 20)
    records = scene.packed(ALL).records()
    before = records.copy()
    scene.packed(CloudSettings(stride=2))
    assert np.array_equal(records.view(np.uint32), before.view(np.uint32))
    scene.backend.close()


def test_the_order_of_the_threads_changes_nothing() -> None:
    clouds = []
    for seed in range(5):
        scene = Scene(HostDriver(seed), 2, 50, 30)
        clouds.append(scene.packed(CloudSettings(voxel_size=3.0)).data.tobytes())
        scene.backend.close()
    assert len(set(clouds)) == 1


def test_what_cannot_be_packed_is_refused() -> None:
    scene = Scene(HostDriver(), 2, 8, 6)
    with pytest.raises(FsmdeError, match=r"voxel_size is 1e-05 m, too small for points up to 98 m"):
        scene.packed(CloudSettings(voxel_size=1e-5))
    with pytest.raises(FsmdeError, match="cloud of 1 cameras was asked for, the last set has 2"):
        scene.backend.pack(scene.cameras[:1], CloudSettings())
    bent = Camera("bent", 8, 6, scene.cameras[0].K, D=np.array([0.1, 0, 0, 0]))
    with pytest.raises(FsmdeError, match="camera 'bent' is distorted"):
        scene.backend.pack([bent, bent], CloudSettings())
    assert_same_cloud(scene.packed(CloudSettings()), scene.expected(CloudSettings()))  # goes on after refusals
    scene.backend.close()
