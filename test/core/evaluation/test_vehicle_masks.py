"""What a mask of the own vehicle in the rig takes out of every measure, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmde_core.evaluation.measures.steadiness import depth_views
from fsmde_core.evaluation.predictors.predictors import MODEL, Prediction
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.results.record import FrameRecord, ImageRecord
from fsmde_core.evaluation.score import score_frame
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.mask import mask_from_entry
from fsmde_core.rig.rig import Camera, Rig

FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
WIDTH, HEIGHT, FX, WALL_M = 40, 20, 20.0, 10.0
K = np.array([[FX, 0, (WIDTH - 1) / 2], [0, FX, (HEIGHT - 1) / 2], [0, 0, 1]])
HIDDEN_ROWS = 8
"""At the bottom of the left camera's image."""


def camera(name: str, left_m: float) -> Camera:
    return Camera(name, WIDTH, HEIGHT, K, rigid(FORWARD, (0, left_m, 1.5)))


def rig(masked: bool) -> Rig:
    """Two cameras side by side, half a metre apart: one pixel at the wall."""
    left = camera("left", 0.25)
    if masked:
        top = HEIGHT - HIDDEN_ROWS
        bonnet = [[0, top], [WIDTH - 1, top], [WIDTH - 1, HEIGHT - 1], [0, HEIGHT - 1]]
        left = replace(left, mask=mask_from_entry(bonnet, Path(), "left", (WIDTH, HEIGHT)))
    return Rig((left, camera("right", -0.25)))


def frame(masked: bool, index: int = 0) -> Frame:
    """A wall 10 m ahead; the lidar has a point for every pixel of the left camera, and a vehicle that stands."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    rays = np.stack([(u - K[0, 2]) / FX, (v - K[1, 2]) / FX, np.ones(u.shape)], -1).reshape(-1, 3)
    points = WALL_M * rays @ FORWARD.T + [0, 0.25, 1.5]
    pose = rigid(np.eye(3), (5, 0, 0))
    stamp = 100_000_000 * index
    images = {name: CameraImage(stamp, pixels=np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for name in ("left", "right")}
    return Frame(
        index, rig(masked), images, dict.fromkeys(images, pose), LidarSweep(stamp, points.astype(np.float32), pose)
    )


def predicted(masked: bool) -> dict[str, Prediction]:
    """The wall, 10 % too far on the right and on the vehicle, where a mask leaves no depth."""
    left, right = np.full((2, HEIGHT, WIDTH), WALL_M, np.float32)
    right *= 1.1
    left[HEIGHT - HIDDEN_ROWS :] = np.nan if masked else 1.1 * WALL_M
    return {"left": Prediction(left), "right": Prediction(right)}


def scored(masked: bool, protocol: str = "surrounddepth", predictor: str = MODEL) -> FrameRecord:
    before, after = frame(masked, 0), frame(masked, 1)
    rules = make_protocol(protocol, "wall")
    return score_frame(after, {predictor: predicted(masked)}, rules, depth_views(before, predicted(masked)))


def measured(record: FrameRecord, predictor: str = MODEL) -> dict[str, tuple[float, float]]:
    """By camera, the number of pixels and their mean relative error."""
    found = {}
    for name, image in record.images[predictor].items():
        assert isinstance(image, ImageRecord)
        sums = image.sums.reshape(-1, image.sums.shape[-1]).sum(axis=0)
        found[name] = sums[-1], sums[0] / sums[-1]
    return found


LEFT, RIGHT = WIDTH * HEIGHT, (WIDTH - 1) * HEIGHT
"""Points that fall into each image: one column of them lies beyond the right one's edge."""


def test_pixels_on_the_vehicle_are_not_measured() -> None:
    off = pytest.approx(0.1, rel=1e-5)
    assert measured(scored(False)) == {"left": (LEFT, pytest.approx(0.1 * HIDDEN_ROWS / HEIGHT)), "right": (RIGHT, off)}
    seen = LEFT - WIDTH * HIDDEN_ROWS
    assert measured(scored(True)) == {"left": (seen, pytest.approx(0, abs=1e-6)), "right": (RIGHT, off)}


def test_nor_are_they_for_a_baseline_alone_that_fills_them() -> None:
    record = score_frame(frame(True), {"constant": predicted(False)}, make_protocol("surrounddepth", "wall"))
    assert measured(record, "constant")["left"] == (LEFT - WIDTH * HIDDEN_ROWS, pytest.approx(0, abs=1e-6))


def test_a_smaller_prediction_is_not_measured_beside_the_vehicle_where_it_has_none() -> None:
    """At half the size row 6 is hidden: resized, it reaches into rows 11 and 12, of which 12 is the vehicle's."""
    small = np.full((HEIGHT // 2, WIDTH // 2), WALL_M, np.float32)
    small[(HEIGHT - HIDDEN_ROWS) // 2 :] = np.nan
    predictions = {"left": Prediction(small), "right": Prediction(np.full_like(small, WALL_M))}
    record = score_frame(frame(True), {MODEL: predictions}, make_protocol("surrounddepth", "wall"))
    assert measured(record)["left"] == (LEFT - WIDTH * (HIDDEN_ROWS + 1), pytest.approx(0, abs=1e-6))


def test_consistency_overlap_and_steadiness_count_the_rest() -> None:
    """Overlap looks at rows 0, 4, ..., 16, of which the first three are seen, steadiness at 2, 6, ..., 18.

    Of the ten columns at every fourth pixel the right camera sees nine of the left one's, and the left all of its.
    """
    for masked, rows in ((False, 5), (True, 3)):
        record = scored(masked)
        seen_rows = HEIGHT - (HIDDEN_ROWS if masked else 0)
        assert record.consistency["left/right"][1] == (WIDTH - 1) * seen_rows
        assert record.overlap["left/right"][1] == (9 + 10) * rows
        assert {name: count for name, (_, count) in record.steadiness.items()} == {"left": 10 * rows, "right": 50}
    # Where the vehicle counts the views agree there, both 10 % too far; elsewhere they do not.
    total, count = scored(True).overlap["left/right"]
    assert total / count == pytest.approx(2 * 0.1 / 2.1, rel=1e-5)
    total, count = scored(False).overlap["left/right"]
    assert total / count == pytest.approx(2 * 0.1 / 2.1 * 3 / 5, rel=1e-5)


def test_protocol_b_takes_what_is_seen_of_a_cell() -> None:
    """Its 640x352 are finer than this image: every point has a cell of its own."""
    n = {masked: measured(scored(masked, "vfdepth"))["left"][0] for masked in (False, True)}
    assert n == {False: LEFT, True: LEFT - WIDTH * HIDDEN_ROWS}
