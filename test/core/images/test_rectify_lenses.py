"""Lens models of every length against OpenCV, and those that turn back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.images.encodings import RawImage
from fsmde_core.images.rectify import Preprocessor, lens_warning, rectify_maps
from fsmde_core.pipeline.gpu.sampling import sampling_from_maps
from fsmde_core.rig.lens import turning_angle
from fsmde_core.rig.rig import Camera, scale_intrinsics
from support.lenses import DISTORTIONS, camera, project, texture

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
