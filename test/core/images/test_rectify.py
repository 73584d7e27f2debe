"""Rectification against geometry and against a supersampled reference; the batch against single images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import EncodedImage, RawImage, to_rgb
from fsmde_core.images.rectify import Preprocessor, RectifiedImage, rectify_rgb
from fsmde_core.rig.rig import Camera, Rig
from support.lenses import DISTORTIONS, camera, project, texture


def test_same_size_without_distortion_changes_nothing() -> None:
    image = texture(640, 400)
    np.testing.assert_array_equal(rectify_rgb(image, camera(), 640, 400), image)


@pytest.mark.parametrize("model", DISTORTIONS)
@pytest.mark.parametrize("size", [(640, 400), (250, 150), (100, 60)])
def test_distorted_points_land_where_the_pinhole_sees_them(model: str, size: tuple[int, int]) -> None:
    source = camera(640, 400, model, DISTORTIONS[model])
    target = source.rectified(*size)
    reduction = 640 / size[0]
    for direction in np.array([[0, 0, 1], [0.4, 0.2, 1], [-0.45, 0.25, 1], [0.3, -0.28, 1]], float):
        centre = project(direction[None], source)[0]
        y, x = np.mgrid[0:400, 0:640]
        blob = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (3 * reduction**0.5) ** 2))
        rectified = rectify_rgb(np.repeat(blob[..., None], 3, 2).astype(np.uint8), source, *size)[..., 1].astype(float)
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
        found = np.array([(rectified * columns).sum(), (rectified * rows).sum()]) / rectified.sum()
        expected = (target.K @ direction)[:2]
        np.testing.assert_allclose(found, expected, atol=0.12)


@pytest.mark.parametrize("D", [[], DISTORTIONS["plumb_bob"]])
@pytest.mark.parametrize("size", [(448, 256), (300, 200)])
def test_reduction_is_free_of_aliasing(D: list[float], size: tuple[int, int]) -> None:
    """Within 2.5 grey levels RMS of an 8-fold supersampled reference, where one bilinear look-up is far off."""
    source = camera(1921, 1081, D=D)
    image = texture(1921, 1081)
    width, height = size
    target = source.rectified(8 * width, 8 * height)
    x, y = cv2.initUndistortRectifyMap(
        source.K, source.D if source.D.size else np.zeros(4), np.eye(3), target.K, (8 * width, 8 * height), cv2.CV_32FC1
    )
    fine = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    reference = fine.reshape(height, 8, width, 8, 3).astype(np.float32).mean(axis=(1, 3))
    error = np.sqrt(np.mean((rectify_rgb(image, source, width, height) - reference) ** 2))
    aliased = np.sqrt(np.mean((fine.reshape(height, 8, width, 8, 3)[:, 4, :, 4] - reference) ** 2))
    assert error < min(2.5, aliased / 4)


@pytest.mark.parametrize(
    "encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422", "yuv422_yuy2", "bayer_grbg8"]
)
def test_any_encoding_gives_the_same_picture(encoding: str) -> None:
    """Colour before or after the resize differs by rounding only."""
    source = camera(640, 400, D=DISTORTIONS["plumb_bob"])
    grey = texture(640, 400)[..., 0]
    pixels = {
        "rgb8": lambda: np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1),
        "bgr8": lambda: np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1),
        "rgba8": lambda: np.stack([grey, grey[::-1], grey[:, ::-1], grey * 0], axis=-1),
        "bgra8": lambda: np.stack([grey, grey[::-1], grey[:, ::-1], grey * 0], axis=-1),
        "yuv422": lambda: np.stack([grey // 2 + 64, grey], axis=-1),
        "yuv422_yuy2": lambda: np.stack([grey, grey // 2 + 64], axis=-1),
    }.get(encoding, lambda: grey)()
    rows = np.ascontiguousarray(pixels).reshape(400, -1)
    padded = np.pad(rows, ((0, 0), (0, 13)))
    image = RawImage(padded.tobytes(), encoding, 640, 400, padded.shape[1])
    expected = rectify_rgb(np.ascontiguousarray(to_rgb(pixels, encoding)), source, 160, 100)
    rectified = Preprocessor(160, 100).rectify(image, source)
    np.testing.assert_allclose(rectified.rgb.astype(int), expected, atol=2)


def encoded(rgb: np.ndarray, suffix: str, text: str = "") -> EncodedImage:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return EncodedImage(cv2.imencode(suffix, rgb[..., ::-1], quality)[1].tobytes(), text)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(640, 400), (641, 400), (640, 401), (1280, 800)])
@pytest.mark.parametrize("D", [[], DISTORTIONS["plumb_bob"]])
def test_a_compressed_image_gives_the_same_picture_as_its_pixels(
    suffix: str, size: tuple[int, int], D: list[float]
) -> None:
    """Also where it is decoded at half the size: even sizes, here four and eight times the target's."""
    source = camera(*size, D=D)
    grey, tint = (
        texture(*size)[..., :1],
        cv2.GaussianBlur(texture(*size, seed=1), (0, 0), 4),
    )  # colour is coarse in JPEG
    image = encoded(grey // 2 + tint // 2, suffix)
    pixels = image.decode()
    expected = Preprocessor(160, 100).rectify(pixels, source).rgb.astype(int)
    rectified = Preprocessor(160, 100).rectify(image, source).rgb
    assert np.sqrt(np.mean((rectified - expected) ** 2)) < 1
    assert np.abs(np.mean(rectified - expected)) < 0.3


def test_a_compressed_mosaic_is_not_halved() -> None:
    source = camera(640, 400)
    mosaic = np.zeros((400, 640), np.uint8)
    mosaic[::2, ::2] = 200  # red alone
    data = cv2.imencode(".png", mosaic)[1].tobytes()
    rectified = Preprocessor(160, 100).rectify(EncodedImage(data, "bayer_rggb8; png compressed "), source)
    assert rectified.rgb[5:-5, 5:-5].mean(axis=(0, 1)) == pytest.approx([200, 0, 0], abs=2)


def test_compressed_images_that_do_not_fit_or_decode_are_refused() -> None:
    with pytest.raises(FsmdeError, match="the image is 320x200, its calibration is for 640x400"):
        Preprocessor(160, 100).rectify(encoded(texture(320, 200), ".jpg"), camera())
    with pytest.raises(FsmdeError, match="camera 'front': compressed image of format 'jpeg' and 3 bytes"):
        Preprocessor(160, 100).rectify(EncodedImage(b"abc", "jpeg"), camera())


@pytest.fixture
def surround() -> Rig:
    names = ("front", "front_right", "back_right", "back", "back_left", "front_left")
    sizes = [(640, 400), (800, 450), (640, 400), (321, 201), (160, 100), (640, 480)]
    cameras = []
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        base = camera(*size, D=DISTORTIONS["plumb_bob"] if i % 2 else None)
        cameras.append(Camera(name, *size, base.K * [[1 + i / 10] * 3, [1] * 3, [1] * 3], D=base.D))
    return Rig(tuple(cameras))


def test_any_order_and_thread(surround: Rig) -> None:
    images = {c.name: texture(c.width, c.height, i) for i, c in enumerate(surround.cameras)}
    preprocessor = Preprocessor(160, 100)

    def rectify(source: Camera) -> RectifiedImage:
        return preprocessor.rectify(RawImage.from_rgb(images[source.name]), source)

    first = {source.name: rectify(source) for source in reversed(surround.cameras)}
    with ThreadPoolExecutor(3) as pool:
        for source, rectified in zip(surround.cameras, pool.map(rectify, surround.cameras), strict=True):
            np.testing.assert_array_equal(rectified.rgb, rectify_rgb(images[source.name], source, 160, 100))
            np.testing.assert_array_equal(rectified.camera.K, source.rectified(160, 100).K)
            assert rectified.camera is first[source.name].camera


def test_changed_calibration_is_used_at_once() -> None:
    image = texture(640, 400)
    preprocessor = Preprocessor(160, 100)
    for D in ([], DISTORTIONS["plumb_bob"], []):
        source = camera(D=D)
        rectified = preprocessor.rectify(RawImage.from_rgb(image), source)
        np.testing.assert_array_equal(rectified.rgb, rectify_rgb(image, source, 160, 100))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FsmdeError, match="the image is 320x200, its calibration is for 640x400"):
        Preprocessor(160, 100).rectify(RawImage.from_rgb(texture(320, 200)), camera())
    with pytest.raises(FsmdeError, match="0x100"):
        Preprocessor(0, 100)
