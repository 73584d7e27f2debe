"""Masks of the own vehicle in the rectified image, against the lens formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsmde_core.images.encodings import RawImage
from fsmde_core.images.rectify import Preprocessor, rectify_maps
from fsmde_core.rig.mask import VehicleMask, mask_from_entry
from fsmde_core.rig.rig import Camera
from support.lenses import DISTORTIONS, camera, project

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
