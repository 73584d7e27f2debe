"""Rectification against geometry and against a supersampled reference; the batch against single images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import EncodedImage, RawImage, to_rgb
from fsmde_core.images.rectify import Preprocessor, RectifiedImage, lens_warning, rectify_maps, rectify_rgb
from fsmde_core.pipeline.gpu.sampling import sampling_from_maps
from fsmde_core.rig.lens import turning_angle
from fsmde_core.rig.mask import VehicleMask, mask_from_entry
from fsmde_core.rig.rig import Camera, Rig, scale_intrinsics

DISTORTIONS = {
    "plumb_bob": [-0.3, 0.1, 0.001, -0.002, -0.02],
    "rational_polynomial": [0.3, 0.05, 0.001, -0.001, 0.01, 0.5, 0.1, 0.02],
    "equidistant": [-0.02, 0.01, -0.003, 0.001],
}


def camera(width: int = 640, height: int = 400, model: str = "plumb_bob", D: list[float] | None = None) -> Camera:
    K = np.array([[0.7 * width, 0, 0.49 * width], [0, 0.7 * width, 0.52 * height], [0, 0, 1]])
    return Camera("front", width, height, K, distortion_model=model, D=np.array(D or []))


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))


def project(points: np.ndarray, source: Camera) -> np.ndarray:
    """(N, 3) camera-frame points to (N, 2) pixels by the distortion formulas of the ROS camera models."""
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    D = source.D
    r2 = x * x + y * y
    if source.distortion_model == "equidistant":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        scale = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(D))) / np.maximum(r, 1e-12)
        x, y = x * scale, y * scale
    elif D.size:
        k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(D, (0, 8 - D.size))
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return np.stack([source.K[0, 0] * x + source.K[0, 2], source.K[1, 1] * y + source.K[1, 2]], axis=1)


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


# Masks of the own vehicle

BONNET = [[60, 399], [150, 330], [320, 300], [480, 325], [600, 399]]
"""In a picture of 640x400."""


def masked(source: Camera, polygon: list[list[float]] = BONNET) -> Camera:
    return replace(source, mask=mask_from_entry(polygon, Path(), source.name, (source.width, source.height)))


@pytest.mark.parametrize("model", DISTORTIONS)
@pytest.mark.parametrize("size", [(640, 400), (250, 150), (100, 60)])
def test_a_polygon_lands_where_the_lens_puts_it(model: str, size: tuple[int, int]) -> None:
    """Pixels whose ray meets the picture inside the polygon are hidden, but for one pixel's width along its edge."""
    source = camera(640, 400, model, DISTORTIONS[model])
    outside = rectify_maps(masked(source), source.rectified(*size)).outside
    without = rectify_maps(source, source.rectified(*size)).outside
    assert outside is not None
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    places = project(np.linalg.solve(source.rectified(*size).K, pixels).T, source)
    contour = np.array(BONNET, np.float32)
    inside = np.array([cv2.pointPolygonTest(contour, (float(u), float(v)), True) for u, v in places]).reshape(
        size[::-1]
    )
    seen = np.ones(size[::-1], bool) if without is None else ~without
    one_pixel = 1.5 * 640 / size[0] + 1
    assert outside[(inside > one_pixel) & seen].all() and (inside > one_pixel).sum() > 0.05 * outside.size
    assert not outside[(inside < -one_pixel) & seen].any()
    if without is not None:
        assert outside[without].all()


def test_without_distortion_every_pixel_with_a_part_of_the_vehicle_is_hidden() -> None:
    source = masked(camera(8, 8), [[0, 5], [3, 5], [3, 7], [0, 7]])
    target = source.rectified(4, 4)
    assert rectify_maps(source, target).outside is not None
    found = Preprocessor(4, 4).rectify(RawImage.from_rgb(np.zeros((8, 8, 3), np.uint8)), source)
    assert found.outside is not None
    # Row 2 of the result is made of rows 4 and 5.
    assert found.outside.tolist() == [[False] * 4] * 2 + [[True, True, False, False]] * 2


def test_masks_change_no_pixel_and_are_computed_once() -> None:
    plain = camera(640, 400, D=DISTORTIONS["plumb_bob"])
    one, other = masked(plain), masked(plain, [[0, 0], [639, 0], [639, 50], [0, 50]])
    image = RawImage.from_rgb(np.random.default_rng(0).integers(0, 256, (400, 640, 3), dtype=np.uint8))
    target = plain.rectified(160, 100)
    for source in (one, other):
        np.testing.assert_array_equal(
            Preprocessor(160, 100).rectify(image, source).rgb, Preprocessor(160, 100).rectify(image, plain).rgb
        )
        assert rectify_maps(source, target) is rectify_maps(replace(source), target)
    assert rectify_maps(plain, target).outside is None
    assert (rectify_maps(one, target).outside != rectify_maps(other, target).outside).any()  # type: ignore[union-attr]


def test_a_mask_on_an_odd_size_covers_the_picture_to_its_edge() -> None:
    visible = np.ones((401, 641), bool)
    visible[:, -3:] = False
    source = replace(camera(641, 401), mask=VehicleMask(visible, Path("right.png")))
    outside = rectify_maps(source, source.rectified(80, 50)).outside
    assert outside is not None and outside[:, -1].all() and not outside[:, :-1].any()


LENGTHS = [("plumb_bob", n) for n in (4, 5)] + [("rational_polynomial", n) for n in (4, 5, 8, 12, 14)]
LENGTHS += [("plumb_bob", 8), ("plumb_bob", 14), ("equidistant", 4), ("fisheye", 0)]


@pytest.mark.parametrize(("model", "count"), LENGTHS)
@given(seed=st.integers(0, 2**32 - 1), strength=st.floats(0.01, 1))
@settings(deadline=None, max_examples=20)
def test_every_model_and_length_as_opencv_projects_points(model: str, count: int, seed: int, strength: float) -> None:
    """A pixel's direction, projected by OpenCV, is where the look-up goes, to half of its step of 1/32 pixel."""
    draw = np.random.default_rng(seed)
    small = np.array([0.3, 0.1, 0.01, 0.01, 0.05, 0.2, 0.05, 0.02, 0.01, 0.01, 0.01, 0.01, 0.05, 0.05])
    source = camera(640, 400, model, (strength * small[:count] * draw.uniform(-1, 1, count)).tolist())
    target = source.rectified(64, 40)
    steps = rectify_maps(source, target)
    assert steps.maps is not None
    found = sampling_from_maps(steps, source.width, source.height, False).maps
    found = (found + 0.5) * 2**steps.halvings - 0.5
    side = steps.supersample
    K = scale_intrinsics(target.K, side, side)
    rows, columns = np.mgrid[0 : 40 * side, 0 : 64 * side]
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(rows.shape)], -1).reshape(
        -1, 1, 3
    )
    zero = np.zeros(3)
    if source.distortion_model == "equidistant":
        D = source.D if source.D.size else np.zeros(4)
        expected, _ = cv2.fisheye.projectPoints(rays, zero, zero, source.K, D)
    else:
        expected, _ = cv2.projectPoints(rays, zero, zero, source.K, source.D)
    expected = expected.reshape(found.shape)
    within = (expected > 0).all(-1) & (expected < [639, 399]).all(-1)
    assert within.mean() > 0.5
    np.testing.assert_allclose(found[within], expected[within], atol=2**steps.halvings / 64 + 1e-3)


FOLDING = {
    "plumb_bob": (0.45, [-0.32, 0, 0, 0, 0]),
    "plumb_bob of three": (0.41, [-0.38, 0.18, 0, 0, -0.05]),
    "rational_polynomial": (0.42, [0.2, 0, 0, 0, 0, 0.9, 0.1, 0]),
    "rational_polynomial with a pole": (0.42, [-0.9, 0, 0, 0, 0, -0.7, 0, 0]),
    "equidistant": (0.45, [-0.6, 0.01, 0, 0]),
    "equidistant by its last": (0.40, [0, 0, 0, -0.6]),
}


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("size", [(640, 400), (1601, 1001)])
def test_what_a_folding_lens_shows_twice_is_outside(name: str, size: tuple[int, int]) -> None:
    """Of two directions that share a pixel the inner one keeps it, and the camera is named once with the angle."""
    focal, D = FOLDING[name]
    width, height = size
    K = np.array([[focal * width, 0, 0.49 * width], [0, focal * width, 0.52 * height], [0, 0, 1]])
    source = Camera("front", width, height, K, distortion_model=name.split()[0], D=np.array(D))
    target = source.rectified(160, 100)
    angle = turning_angle(source.distortion_model, tuple(D))
    rows, columns = np.mgrid[0:100, 0:160]
    r = np.hypot((columns - target.K[0, 2]) / target.K[0, 0], (rows - target.K[1, 2]) / target.K[1, 1])
    pixel = 1 / target.K[0, 0]
    image = RawImage.from_rgb(np.zeros((height, width, 3), np.uint8))
    outside = Preprocessor(160, 100).rectify(image, source).outside
    assert outside is not None
    assert outside[np.arctan(r) >= angle].all() and not outside[r < np.tan(angle) / 2].any()
    # Where the image is seen, no two pixels of the picture see the same place: the way outwards leads outwards.
    shown = ~outside & (r > pixel)
    inner = np.stack(
        [target.K[:2, 2][0] + 0.97 * (columns - target.K[0, 2]), target.K[1, 2] + 0.97 * (rows - target.K[1, 2])], -1
    )
    assert (
        distance_in_image(source, target, columns, rows) > distance_in_image(source, target, *np.moveaxis(inner, -1, 0))
    )[shown].all()
    warning = lens_warning(source)
    assert warning is not None and f"turns back at {np.degrees(angle):.1f} degrees" in warning and "'front'" in warning


def distance_in_image(source: Camera, target: Camera, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pixels from the principal point to where the lens shows what the rectified camera has at columns and rows."""
    x, y = (columns - target.K[0, 2]) / target.K[0, 0], (rows - target.K[1, 2]) / target.K[1, 1]
    places = project(np.stack([x, y, np.ones(x.shape)], -1).reshape(-1, 3), source)
    return np.hypot(*(places - source.K[:2, 2]).T).reshape(x.shape)


@pytest.mark.parametrize("model", ["none", *DISTORTIONS])
def test_ordinary_lenses_are_not_warned_of(model: str) -> None:
    assert lens_warning(camera(640, 400, model, DISTORTIONS.get(model))) is None


def test_a_pole_past_the_edge_of_the_image_is_not_warned_of() -> None:
    """The picture's corners lie beyond the pole at 54.7 degrees, whose neighbourhood lies past the image's edge."""
    K = np.array([[192.0, 0, 319.5], [0, 192, 199.5], [0, 0, 1]])
    source = Camera(
        "front", 640, 400, K, distortion_model="rational_polynomial", D=np.array([0, 0, 0, 0, 0, -0.5, 0, 0])
    )
    outside = Preprocessor(160, 100).rectify(RawImage.from_rgb(texture(640, 400)), source).outside
    assert outside is not None and outside[0, 0] and not outside[50, 80]
    assert lens_warning(source) is None
