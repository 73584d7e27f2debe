"""The pipeline on the tiny model, whose depth is known, up to the fused cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import RawImage
from fsmde_core.images.rectify import rectify_rgb
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Camera, Rig
from support.tiny_model import HEIGHT, WIDTH

YAWS = {"front": 0.0, "left": np.pi / 2, "back": np.pi}


def looking(name: str, yaw: float) -> Camera:
    """A camera one metre ahead of the origin in its viewing direction, 1.5 m above the ground."""
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    K = np.array([[300, 0, 223.5], [0, 300, 127.5], [0, 0, 1]], float)
    return Camera(name, 448, 256, K, rigid(rotation, [c, s, 1.5]))


RIG = Rig(tuple(looking(name, yaw) for name, yaw in YAWS.items()))


@pytest.fixture
def pipeline(tiny_model: Path) -> Iterator[CpuPipeline]:
    pipeline = CpuPipeline(load_engine("onnxruntime", tiny_model, threads=1), threads=2)
    yield pipeline
    pipeline.close()


def grey(level: int) -> RawImage:
    return RawImage.from_rgb(np.full((256, 448, 3), level, np.uint8))


def test_depth_is_the_models_of_the_rectified_images(pipeline: CpuPipeline) -> None:
    generator = np.random.default_rng(0)
    images = {name: generator.integers(0, 256, (256, 448, 3), dtype=np.uint8) for name in RIG.names}
    result = pipeline.run({name: RawImage.from_rgb(image) for name, image in images.items()}, RIG)
    assert result.names == RIG.names and result.depth.shape == (3, HEIGHT, WIDTH)
    for i, camera in enumerate(RIG.cameras):
        rgb = rectify_rgb(images[camera.name], camera, WIDTH, HEIGHT)
        np.testing.assert_allclose(result.depth[i], (1 + rgb.mean(-1)) * 75 / 100, rtol=1e-5)
    assert set(result.stage_ms) == {"preprocess", "infer"} and min(result.stage_ms.values()) > 0


def test_pixels_past_the_edge_of_a_distorted_image_have_no_depth(pipeline: CpuPipeline) -> None:
    # Pincushion distortion: the corners of the rectified view lie outside of what the sensor saw.
    bent = replace(RIG.cameras[0], D=np.array([0.4, 0, 0, 0]))
    result = pipeline.run({bent.name: grey(10), "left": grey(20)}, Rig((bent, *RIG.cameras[1:])))
    corner, centre, straight = result.depth[0, 0, 0], result.depth[0, HEIGHT // 2, WIDTH // 2], result.depth[1]
    assert np.isnan(corner) and centre == pytest.approx(11 * 0.75) and np.isfinite(straight).all()
    x, y = np.array([0, 0]) - bent.rectified(WIDTH, HEIGHT).K[:2, 2]  # the corner's ray by the radial formula
    x, y = x / result.cameras[0].fx, y / result.cameras[0].K[1, 1]
    assert bent.fx * x * (1 + 0.4 * (x * x + y * y)) + bent.K[0, 2] < -0.5


def test_the_own_vehicle_has_no_depth_and_no_points(pipeline: CpuPipeline) -> None:
    """The mask covers the left half of the lower quarter of `front`, to the pixel at a quarter of its size."""
    corner = [[0, 192], [223, 192], [223, 255], [0, 255]]
    front = replace(RIG.cameras[0], mask=mask_from_entry(corner, Path(), "front", (448, 256)))
    rig = Rig((front, *RIG.cameras[1:]))
    images = {name: grey(9) for name in RIG.names}
    result, plain = pipeline.run(images, rig), pipeline.run(images, RIG)
    hidden = np.zeros((3, HEIGHT, WIDTH), bool)
    hidden[0, HEIGHT * 3 // 4 :, : WIDTH // 2] = True
    np.testing.assert_array_equal(np.isnan(result.depth), hidden)
    cloud = pipeline.pack(result, CloudSettings()).records()[:, :3].copy()
    whole = pipeline.pack(plain, CloudSettings()).records()[:, :3]
    assert len(whole) - len(cloud) == hidden.sum() == HEIGHT * WIDTH // 8
    # In front: 7.5 m ahead of the camera at x = 1 m, to the left, below half of the way down.
    in_corner = np.isclose(cloud[:, 0], 8.5) & (cloud[:, 1] > 0) & (cloud[:, 2] < 1.5 - 7.5 * 64 / 300)
    assert not in_corner.any()
    single = CloudPacker(CloudSettings()).pack_organised(
        result.cameras[0], result.rgb[0], result.depth[0], result.sigma[0]
    )
    np.testing.assert_array_equal(np.isnan(single.records()[:, 0]).reshape(HEIGHT, WIDTH), hidden[0])


def test_missing_cameras_do_not_change_the_others(pipeline: CpuPipeline) -> None:
    levels = {"front": 10, "left": 20, "back": 30}
    for names in (("front", "left", "back"), ("back",), ("back", "front"), ("left",)):
        result = pipeline.run({name: grey(levels[name]) for name in names}, RIG)
        assert result.names == tuple(name for name in RIG.names if name in names)
        for name, depth in zip(result.names, result.depth, strict=True):
            np.testing.assert_allclose(depth, (1 + levels[name]) * 0.75, rtol=1e-5)


def test_cloud_lies_where_the_cameras_look(pipeline: CpuPipeline) -> None:
    """Walls at 7.5 m depth: 8.5 m ahead, to the left and behind the vehicle."""
    result = pipeline.run({name: grey(9) for name in RIG.names}, RIG)
    cloud = CloudPacker(CloudSettings()).pack(result.cameras, result.rgb, result.depth, result.sigma)
    points = cloud.records()[:, :3].reshape(3, HEIGHT, WIDTH, 3)
    for wall, axis, sign in ((points[0], 0, 1), (points[1], 1, 1), (points[2], 0, -1)):
        np.testing.assert_allclose(wall[..., axis], sign * 8.5, atol=1e-4)
    assert points[0, 0, :, 2].min() > 1.5 > points[0, -1, :, 2].max()  # z up: the image's first row is above the camera
    assert points[0, :, 0, 1].min() > 0 > points[0, :, -1, 1].max()  # y left: its first column is to the left


def test_images_rectified_one_by_one_give_the_same_depth(pipeline: CpuPipeline) -> None:
    """As the node works: rectified when they arrive, in any order, then inferred together."""
    images = {name: grey(level) for name, level in zip(RIG.names, (10, 20, 30), strict=True)}
    together = pipeline.run(images, RIG).depth.copy()
    apart = {name: pipeline.rectify(images[name], RIG[name]) for name in reversed(RIG.names)}
    result = pipeline.infer([apart[name] for name in RIG.names])
    assert result.names == RIG.names and set(result.stage_ms) == {"infer"}
    np.testing.assert_array_equal(result.depth, together)


def test_a_set_is_placed_on_the_mounts_of_one_moment(pipeline: CpuPipeline) -> None:
    front = RIG["front"]
    image = pipeline.rectify(grey(1), front)
    moved = replace(front, T_base_camera=rigid(np.eye(3), [5, 0, 0]))
    placed = pipeline.with_mount(image, moved)
    assert placed.camera.T_base_camera[0, 3] == 5 and placed.rgb is image.rgb
    other = replace(moved, K=front.K * [[1.1], [1.1], [1]])
    assert pipeline.with_mount(image, other) is image  # its pixels are of the old intrinsics


def test_warm_up(pipeline: CpuPipeline) -> None:
    pipeline.warm_up(3)
    assert pipeline.run({"left": grey(1)}, RIG).depth.shape == (1, HEIGHT, WIDTH)


def test_bad_images_leave_the_pipeline_usable(pipeline: CpuPipeline) -> None:
    with pytest.raises(FsmdeError, match="calibration is for 448x256"):
        pipeline.run({"front": RawImage.from_rgb(np.zeros((10, 10, 3), np.uint8)), "left": grey(3)}, RIG)
    with pytest.raises(FsmdeError, match=r"\['rear'\]"):
        pipeline.run({"rear": grey(1)}, RIG)
    with pytest.raises(FsmdeError, match="no camera"):
        pipeline.run({}, RIG)
    assert pipeline.run({"front": grey(3)}, RIG).depth[0, 0, 0] == pytest.approx(3.0)
