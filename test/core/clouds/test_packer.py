"""Clouds: points against projection, bytes against a plain second computation, gates, voxels, buffers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.clouds.loops import keep_first_per_voxel
from fsmde_core.clouds.packer import CloudPacker, CloudSettings, ray_table
from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import invert, rigid, rotation_from_quaternion, transform
from fsmde_core.rig.rig import Camera
from support.depth_scenes import depth_scene

H, W = 12, 20
OPEN = CloudSettings(min_range=0.0, max_range=1e6, max_relative_sigma=1e6)


def camera(name: str, seed: int) -> Camera:
    generator = np.random.default_rng(seed)
    K = np.array([[15 + seed, 0, 9.3], [0, 16 + seed, 6.1], [0, 0, 1]])
    rotation = rotation_from_quaternion(*generator.normal(size=4))
    return Camera(name, W, H, K, T_base_camera=rigid(rotation, generator.normal(0, 2, 3)))


CAMERAS = (camera("front", 0), camera("left", 1), camera("back", 2))


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb, depth, sigma of CAMERAS."""
    return depth_scene(len(CAMERAS), H, W, seed)


def plain_cloud(settings: CloudSettings, rgb: np.ndarray, depth: np.ndarray, sigma: np.ndarray) -> list[list[float]]:
    """One pixel at a time: x, y, z, red, green, blue, sigma."""
    rows = []
    for i, source in enumerate(CAMERAS):
        for v in range(0, H, settings.stride):
            for u in range(0, W, settings.stride):
                d, s = float(depth[i, v, u]), float(sigma[i, v, u])
                if settings.min_range <= d <= settings.max_range and 0 <= s <= settings.max_relative_sigma * d:
                    x, y = (u - source.K[0, 2]) / source.K[0, 0], (v - source.K[1, 2]) / source.K[1, 1]
                    point = source.T_base_camera @ [x * d, y * d, d, 1]
                    rows.append([*point[:3], *rgb[i, v, u], s])
    return rows


@pytest.mark.parametrize("settings", [CloudSettings(), CloudSettings(2.0, 30.0, 0.2), CloudSettings(stride=3), OPEN])
def test_bytes_hold_the_plain_computation(settings: CloudSettings) -> None:
    rgb, depth, sigma = scene()
    cloud = CloudPacker(settings).pack(CAMERAS, rgb, depth, sigma)
    expected = np.array(plain_cloud(settings, rgb, depth, sigma))
    layout = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4"), ("sigma", "<f4")])
    assert (cloud.point_step, cloud.count, len(cloud.data)) == (20, len(expected), 20 * len(expected))
    points = np.frombuffer(cloud.data, layout)
    np.testing.assert_allclose(points["xyz"], expected[:, :3], rtol=1e-5, atol=1e-4)
    red, green, blue = expected[:, 3:6].astype(np.uint32).T
    np.testing.assert_array_equal(points["rgb"], red << 16 | green << 8 | blue)
    np.testing.assert_array_equal(points["sigma"], expected[:, 6].astype(np.float32))


def test_rows_with_all_and_with_no_points_are_like_any_other() -> None:
    """They are written and skipped without a look at each pixel."""
    rgb, depth, sigma = scene()
    depth[:, ::3], sigma[:, ::3] = 10, 0.1
    depth[:, 1::3] = np.nan
    cloud = CloudPacker(CloudSettings()).pack(CAMERAS, rgb, depth, sigma)
    expected = np.array(plain_cloud(CloudSettings(), rgb, depth, sigma))
    np.testing.assert_allclose(cloud.records()[:, :3], expected[:, :3], rtol=1e-5, atol=1e-4)


def test_nothing_that_is_not_finite_is_published() -> None:
    cloud = CloudPacker(OPEN).pack(CAMERAS, *scene())
    assert cloud.is_dense and cloud.count > 0
    assert np.all(np.isfinite(cloud.records()[:, [0, 1, 2, 4]]))


@given(seed=st.integers(0, 1000), u=st.integers(0, W - 1), v=st.integers(0, H - 1), depth=st.floats(0.1, 200))
def test_point_projects_back_to_its_pixel_and_depth(seed: int, u: int, v: int, depth: float) -> None:
    source = camera("any", seed % 50)
    rays, origin = ray_table(source, source.T_base_camera)
    point = origin + np.float32(depth) * rays[:, v * W + u]
    x, y, z = source.K @ transform(invert(source.T_base_camera), point[None].astype(np.float64))[0]
    np.testing.assert_allclose([x / z, y / z, z / depth], [u, v, 1], atol=1e-3)
    assert abs(z / depth - 1) < 1e-4


def test_plain_fields_without_color() -> None:
    rgb, depth, sigma = scene()
    colored = CloudPacker(CloudSettings()).pack(CAMERAS, rgb, depth, sigma)
    plain = CloudPacker(CloudSettings(color=False)).pack(CAMERAS, rgb, depth, sigma)
    assert plain.fields == ("x", "y", "z", "sigma") and plain.point_step == 16
    np.testing.assert_array_equal(plain.records(), colored.records()[:, [0, 1, 2, 4]])


def test_a_missing_camera_leaves_the_others_unchanged() -> None:
    rgb, depth, sigma = scene()
    packer = CloudPacker(CloudSettings())
    whole = packer.pack(CAMERAS, rgb, depth, sigma).records().tobytes()
    parts = [
        packer.pack(CAMERAS[i : i + 1], *(a[i : i + 1] for a in (rgb, depth, sigma))).records().tobytes()
        for i in range(3)
    ]
    assert whole == b"".join(parts)


@given(seed=st.integers(0, 99), stride=st.integers(1, 4))
def test_equals_the_ray_table_in_numpy(seed: int, stride: int) -> None:
    """The formulas array by array; float32 rounds in another order, so to a few units in the last place."""
    rgb, depth, sigma = scene(seed)
    settings = CloudSettings(stride=stride)
    cloud = CloudPacker(settings).pack(CAMERAS, rgb, depth, sigma).records()
    kept = CloudPacker(settings).keep(depth, sigma)
    expected = []
    for index, source in enumerate(CAMERAS):
        rays, origin = ray_table(source, source.T_base_camera)
        chosen = np.zeros((H, W), bool)
        chosen[::stride, ::stride] = kept[index, ::stride, ::stride]
        expected.append((rays[:, chosen.ravel()] * depth[index][chosen] + origin[:, None]).T)
    np.testing.assert_allclose(cloud[:, :3], np.concatenate(expected), rtol=3e-6, atol=3e-5)


def test_images_of_any_layout_are_taken() -> None:
    """Read-only, with gaps between the rows, in Fortran's order: the same bytes."""
    rgb, depth, sigma = scene()
    expected = CloudPacker(CloudSettings()).pack(CAMERAS, rgb, depth, sigma).data.tobytes()
    wide = np.repeat(depth, 2, axis=2)[:, :, ::2]
    wide.flags.writeable = False
    found = CloudPacker(CloudSettings()).pack(CAMERAS, np.asfortranarray(rgb), wide, sigma)
    assert found.data.tobytes() == expected


def test_changed_calibration_moves_the_points() -> None:
    rgb, depth, sigma = scene()
    packer = CloudPacker(CloudSettings())
    before = packer.pack(CAMERAS, rgb, depth, sigma).records().copy()
    shift = rigid(np.eye(3), [1.0, 2.0, 3.0])
    moved = tuple(replace(c, T_base_camera=shift @ c.T_base_camera) for c in CAMERAS)
    after = packer.pack(moved, rgb, depth, sigma).records()
    np.testing.assert_allclose(after[:, :3] - before[:, :3], np.tile([1, 2, 3], (len(before), 1)), atol=1e-4)


def test_buffer_is_reused_and_survives_a_reader() -> None:
    rgb, depth, sigma = scene()
    packer = CloudPacker(CloudSettings())
    first = packer.pack(CAMERAS, rgb, depth, sigma).data
    fewer = packer.pack(CAMERAS[:1], rgb[:1], depth[:1], sigma[:1])
    assert fewer.data is first and len(first) == fewer.count * 20
    held = fewer.records()
    kept = held.copy()
    more = packer.pack(CAMERAS, rgb, depth, sigma)
    assert more.data is not first
    np.testing.assert_array_equal(held, kept)


def test_nothing_valid_is_an_empty_cloud() -> None:
    rgb, depth, sigma = scene()
    for settings in (CloudSettings(), CloudSettings(voxel_size=0.5)):
        cloud = CloudPacker(settings).pack(CAMERAS, rgb, np.full_like(depth, np.nan), sigma)
        assert cloud.count == 0 and len(cloud.data) == 0


@given(count=st.integers(0, 300), size=st.floats(0.05, 5), seed=st.integers(0, 99))
def test_voxels_hold_one_point_each_the_first(count: int, size: float, seed: int) -> None:
    records = np.random.default_rng(seed).normal(0, 4, (count, 5)).astype(np.float32)
    expected: dict[tuple[int, ...], np.ndarray] = {}
    for record in records:
        expected.setdefault(tuple(int(c) for c in np.floor(record[:3] * np.float32(1 / size))), record.copy())
    kept = keep_first_per_voxel(1 / size, np.zeros(512, np.int64), records)
    np.testing.assert_array_equal(records[:kept], np.array(list(expected.values())).reshape(-1, 5))


def test_voxel_cloud_is_a_subset_of_the_full_one() -> None:
    rgb, depth, sigma = scene()
    full = {r.tobytes() for r in CloudPacker(CloudSettings()).pack(CAMERAS, rgb, depth, sigma).records()}
    thin = CloudPacker(CloudSettings(voxel_size=5.0)).pack(CAMERAS, rgb, depth, sigma)
    points = {r.tobytes() for r in thin.records()}
    assert points < full and len(points) == thin.count < len(full)


def test_organised_cloud_is_an_image_of_points() -> None:
    rgb, depth, sigma = scene()
    settings = CloudSettings(stride=2)
    cloud = CloudPacker(settings).pack_organised(CAMERAS[1], rgb[1], depth[1], sigma[1])
    assert (cloud.height, cloud.width, cloud.is_dense) == (H // 2, W // 2, False)
    image = cloud.records().reshape(cloud.height, cloud.width, 5)
    d, s = depth[1, ::2, ::2], sigma[1, ::2, ::2]
    with np.errstate(invalid="ignore"):
        valid = (
            (d >= settings.min_range) & (d <= settings.max_range) & (s >= 0) & (s <= settings.max_relative_sigma * d)
        )
    np.testing.assert_array_equal(np.isfinite(image[..., :3]).all(-1), valid)
    np.testing.assert_array_equal(image[valid][:, 2], d[valid])
    u = np.arange(0, W, 2)[None].repeat(H // 2, 0)
    expected_x = (u - CAMERAS[1].K[0, 2]) / CAMERAS[1].K[0, 0] * d
    np.testing.assert_allclose(image[valid][:, 0], expected_x[valid], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"min_range": -1.0},
        {"min_range": 80.0},
        {"max_range": float("nan")},
        {"max_relative_sigma": 0.0},
        {"max_relative_sigma": float("nan")},
        {"stride": 0},
        {"voxel_size": -0.1},
        {"voxel_size": float("nan")},
        {"voxel_size": float("inf")},
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(FsmdeError, match=next(iter(changes))):
        CloudSettings(**changes)  # type: ignore[arg-type]


def test_limits_are_said() -> None:
    rgb, depth, sigma = scene()
    with pytest.raises(FsmdeError, match=r"voxel_size is 1e-06 m, too small for points up to \d+ m away"):
        CloudPacker(CloudSettings(voxel_size=1e-6)).pack(CAMERAS, rgb, depth, sigma)
    bent = replace(CAMERAS[0], D=np.array([0.1, 0, 0, 0]))
    for use in (lambda: ray_table(bent, np.eye(4)), lambda: CloudPacker(OPEN).pack([bent], rgb, depth, sigma)):
        with pytest.raises(FsmdeError, match="distorted"):
            use()
