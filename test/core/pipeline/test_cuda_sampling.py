"""Kernel `sample`: every encoding, row length, lens and reduction against a plain computation and the CPU's path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import ENCODINGS, RawImage
from fsmde_core.images.rectify import rectify_rgb
from fsmde_core.pipeline.gpu.backend import Sampling
from fsmde_core.pipeline.gpu.cuda import sampling, uploads
from fsmde_core.pipeline.gpu.cuda.backend import CudaBackend
from fsmde_core.rig.rig import Camera
from support.cuda_cases import given_depth, noise_image, on_each_driver, plain_sample, plain_sampling, sampling_of
from support.cuda_host import HostDriver

LENSES = {
    "none": ("plumb_bob", ()),
    "plumb_bob": ("plumb_bob", (-0.3, 0.1, 0.002, -0.001, -0.01)),
    "rational_polynomial": ("rational_polynomial", (0.4, -0.2, 0.001, 0.001, 0.05, 0.7, -0.3, 0.02)),
    "equidistant": ("equidistant", (0.05, -0.01, 0.003, -0.001)),
}


def lens_camera(lens: str, width: int, height: int) -> Camera:
    model, coefficients = LENSES[lens]
    K = [[0.6 * width, 0, 0.49 * width], [0, 0.61 * width, 0.52 * height], [0, 0, 1]]
    return Camera("front", width, height, np.array(K), distortion_model=model, D=np.array(coefficients))


def sampled(driver: Any, images: list[RawImage], ways: list[Sampling], width: int, height: int) -> np.ndarray:
    """(N, H, W, 3) uint8 from the GPU's path, checked to be what the network sees as well."""
    engine = given_depth(driver, len(images), width, height)
    backend = CudaBackend(engine, len(images), driver)
    uploads = [backend.upload(image, way) for image, way in zip(images, ways, strict=True)]
    result = backend.infer(uploads, np.ones(len(images), np.float32))
    assert np.array_equal(engine.images, result.rgb)
    rgb = result.rgb.copy()
    backend.close()
    return rgb


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for sums that float32 and float64 round to neighbouring grey levels."""
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@on_each_driver
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pixels_of_every_encoding_are_opencvs_to_the_bit(encoding: str, make_driver: Callable[[], Any]) -> None:
    for width, height, padding in ((10, 7, 5), (32, 8, 0), (4, 3, 1)):
        image = noise_image(encoding, width, height, padding)
        way = plain_sampling(width, height)
        assert np.array_equal(sampled(make_driver(), [image], [way], width, height)[0], plain_sample(image, way))


@on_each_driver
@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(("halvings", "supersample"), [(0, 1), (0, 2), (1, 2), (2, 1)])
def test_lenses_and_reductions_against_the_definition(
    lens: str, halvings: int, supersample: int, make_driver: Callable[[], Any]
) -> None:
    camera = lens_camera(lens, 150, 101)
    way = sampling_of(camera, 37, 21, halvings, supersample)
    image = noise_image("rgb8", 150, 101, padding=3)
    assert_close(sampled(make_driver(), [image], [way], 37, 21)[0], plain_sample(image, way))


@on_each_driver
def test_cameras_of_all_kinds_in_one_batch(make_driver: Callable[[], Any]) -> None:
    images, ways = [], []
    for index, encoding in enumerate(ENCODINGS):
        camera = lens_camera(list(LENSES)[index % len(LENSES)], 60 + 2 * index, 45 + index)
        images.append(noise_image(encoding, camera.width, camera.height, padding=index, seed=index))
        ways.append(sampling_of(camera, 24, 16, halvings=index % 3, supersample=1 + index % 2))
    found = sampled(make_driver(), images, ways, 24, 16)
    for index, (image, way) in enumerate(zip(images, ways, strict=True)):
        assert_close(found[index], plain_sample(image, way))


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_image_and_any_maps_against_the_definition(data: st.DataObject) -> None:
    encoding = data.draw(st.sampled_from(sorted(ENCODINGS)))
    width, height = 2 * data.draw(st.integers(2, 20)), data.draw(st.integers(3, 30))
    halvings = data.draw(st.integers(0, min(width, height).bit_length() - 1).filter(lambda n: n <= 4))
    supersample = data.draw(st.integers(1, 3))
    out_width, out_height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    image = noise_image(encoding, width, height, data.draw(st.integers(0, 9)), data.draw(st.integers(0, 99)))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    maps = generator.uniform(-5, 45, (supersample * out_height, supersample * out_width, 2)).astype(np.float32)
    way = Sampling(halvings, supersample, maps, None)
    assert_close(sampled(HostDriver(), [image], [way], out_width, out_height)[0], plain_sample(image, way))


@on_each_driver
@pytest.mark.parametrize("lens", LENSES)
def test_close_to_the_cpu_preprocessor(lens: str, make_driver: Callable[[], Any]) -> None:
    """The CPU's maps are in 1/32 pixel and it rounds in between: on a natural image within 3 grey levels, 0.5 on
    average.
    """
    camera = lens_camera(lens, 320, 200)
    noise = np.random.default_rng(3).uniform(0, 255, (200, 320, 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    expected = rectify_rgb(smooth, camera, 64, 40)
    way = sampling_of(camera, 64, 40, halvings=1, supersample=2)
    found = sampled(make_driver(), [RawImage.from_rgb(smooth)], [way], 64, 40)[0]
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 3
    assert difference.mean() < 0.5


@on_each_driver
def test_depth_is_nan_exactly_outside(make_driver: Callable[[], Any]) -> None:
    driver = make_driver()
    camera = lens_camera("plumb_bob", 60, 40)
    way = sampling_of(camera, 30, 20, halvings=0, supersample=2)
    assert way.outside is None
    outside = np.random.default_rng(0).random((20, 30)) < 0.3
    partly = Sampling(way.halvings, way.supersample, way.maps, outside)
    backend = CudaBackend(given_depth(driver, 2, 30, 20), 2, driver)
    image = noise_image("bgr8", 60, 40)
    result = backend.infer([backend.upload(image, way), backend.upload(image, partly)], np.ones(2, np.float32))
    assert np.array_equal(np.isnan(result.depth), [np.zeros((20, 30), bool), outside])
    assert np.isfinite(result.sigma).all()
    backend.close()


def test_every_encoding_has_a_layout() -> None:
    assert set(sampling.LAYOUTS) == set(ENCODINGS)


def test_what_the_kernel_cannot_do_is_refused() -> None:
    driver = HostDriver()
    backend = CudaBackend(given_depth(driver, 1, 8, 6), 1, driver)
    image = noise_image("rgb8", 8, 6)
    with pytest.raises(FsmdeError, match=r"\(6, 9, 2\) float32, expected \(6, 8, 2\)"):
        backend.upload(image, Sampling(0, 1, np.zeros((6, 9, 2), np.float32), None))
    with pytest.raises(FsmdeError, match="halved 5 times"):
        backend.upload(image, Sampling(uploads.MOST_HALVINGS + 1, 1, np.zeros((6, 8, 2), np.float32), None))
    backend.close()
