"""Protocols A and B, median scaling, flip averaging and masks, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.evaluate import score_predictors
from fsmde_core.evaluation.measures.pixels import SparseDepth, last_of_each, sample
from fsmde_core.evaluation.predictors.predictors import MODEL, ModelPredictor, Prediction, Predictor, average_flipped
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.registry import load_masks, make_protocol
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.protocols.vfdepth import VfDepthProtocol
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.lidar.projection import depth_map
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig

FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def float32(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


# Bilinear samples at sparse pixels


@settings(max_examples=40, deadline=None)
@given(
    small=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    large=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 1000),
)
def test_samples_equal_a_resize_of_the_whole_map(small: tuple[int, int], large: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 80, small).astype(np.float32)
    resized = cv2.resize(values, large[::-1], interpolation=cv2.INTER_LINEAR)
    everywhere = SparseDepth.from_map(np.ones(large, np.float32))
    found, twice = sample([values, 2 * values], everywhere)
    np.testing.assert_allclose(found.reshape(large), resized, rtol=3e-5)
    np.testing.assert_allclose(twice, 2 * found, rtol=1e-6)


def test_the_last_of_each_cell_stays() -> None:
    assert last_of_each(np.array([3, 1, 3, 0, 1]), 4).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("kind", ["nuscenes", "ddad", "pandaset"])
def test_truth_of_protocol_a_is_the_depth_map_within_the_range(kind: str, request: pytest.FixtureRequest) -> None:
    from support.real_sources import lidar_frames, real_source

    frame = lidar_frames(real_source(kind, request), 1)[0]
    protocol = make_protocol("surrounddepth", kind)
    for name in frame.images:
        dense = depth_map(frame, name)
        dense[~((dense > 0.1) & (dense < protocol.cap_m))] = np.nan
        np.testing.assert_array_equal(protocol.truth(frame, name).to_map(), dense)


# Median scaling


def test_protocol_a_scales_by_the_ratio_of_medians_and_clips_only_then() -> None:
    """Medians of even numbers are means of the two in the middle: 25 and 3, so the ratio is 25/3; 5000 becomes 80."""
    protocol = SurroundDepthProtocol(scaling="median")
    found = protocol.measure(float32((10, 20, 30, 70)), float32((2, 3, 3, 600)))
    assert found is not None
    expected = [abs(10 - 50 / 3) / 10, abs(20 - 25) / 20, abs(30 - 25) / 30, abs(70 - 80) / 70]
    assert found.abs_rel == pytest.approx(np.mean(expected), rel=1e-6)


@given(st.floats(0.01, 100))
def test_median_scaling_takes_out_any_common_factor(factor: float) -> None:
    truth = float32((1, 2, 5, 9, 30))
    found = SurroundDepthProtocol(scaling="median").measure(truth, truth * np.float32(factor))
    assert found is not None and found.abs_rel < 1e-5


def test_protocol_b_clips_before_and_after_scaling_and_takes_the_lower_of_two_middle_values() -> None:
    protocol = VfDepthProtocol(cap_m=80, scaling="median")
    pixels = protocol.pixels(SparseDepth.from_map(float32((10, 20, 30, 70))), Prediction(float32((2, 3, 4, 600))))
    assert pixels is not None
    assert pixels.depth.tolist() == [2, 3, 4, 80]
    assert protocol.ratio(pixels) == pytest.approx(20 / 3)
    assert protocol.scaled(pixels, protocol.ratio(pixels)).depth == pytest.approx([40 / 3, 20, 80 / 3, 80])


def test_unknown_scaling() -> None:
    with pytest.raises(FsmdeError, match=r"scaling 'mean' is unknown; use one of \['none', 'median'\]"):
        make_protocol("vfdepth", "ddad", scaling="mean")


# Protocol B over a recording


class Wall:
    """A camera of 8x4 whose lidar sees one wall per frame, point by point; the vehicle stands."""

    name = "wall"
    notes = ()
    K = np.array([[4.0, 0, 3.5], [0, 4.0, 1.5], [0, 0, 1]])

    def __init__(self, *frames: dict[tuple[int, int], float]) -> None:
        """frames: depth by (row, column) of the native image."""
        self.rig = Rig((Camera("front", 8, 4, self.K, rigid(FORWARD, [0, 0, 0])),))
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(len(self))):
            points = [(z, -(u - 3.5) * z / 4, -(v - 1.5) * z / 4) for (v, u), z in self._frames[index].items()]
            sweep = LidarSweep(index, np.array(points, np.float32), np.eye(4))
            image = CameraImage(index, pixels=np.zeros((4, 8, 3), np.uint8))
            yield Frame(index, self.rig, {"front": image}, {"front": np.eye(4)}, sweep)


class Guess(Predictor):
    """10 m everywhere in the left half of the image, 20 m in the right."""

    name = MODEL

    def predict(self, frame: Frame) -> dict[str, Prediction]:
        return {"front": Prediction(np.repeat(float32((10, 20)), 2, axis=1).repeat(2, axis=0))}


B = {"size": (4, 2)}
"""Half the native size: the pixels (0, 0), (0, 1), (1, 0) and (1, 1) fall into one."""


def test_truth_of_protocol_b_is_scattered_row_by_row() -> None:
    """(1, 1) comes last in the image, whatever the sweep's order; 5 m at (0, 7) has a pixel for itself."""
    frame = next(Wall({(1, 1): 7, (0, 0): 3, (0, 1): 4, (0, 7): 5, (3, 3): 90}).frames())
    truth = VfDepthProtocol(**B).truth(frame, "front")
    assert (truth.height, truth.width) == (2, 4)
    np.testing.assert_allclose(truth.to_map()[0], [7, np.nan, np.nan, 5], rtol=1e-5)
    assert np.isnan(truth.to_map()[1]).all()  # beyond the cap


def test_sizes_of_protocol_b_are_those_of_its_network() -> None:
    assert make_protocol("vfdepth", "ddad").size == (640, 384)  # type: ignore[attr-defined]
    assert make_protocol("vfdepth", "nuscenes").size == (640, 352)  # type: ignore[attr-defined]


def abs_rel(protocol: EvaluationProtocol, *frames: dict[tuple[int, int], float]) -> tuple[float, int, int]:
    result = score_predictors(Wall(*frames), [Guess()], protocol)
    mean = result.scores[MODEL].mean
    return mean.abs_rel, mean.n, result.samples


FOUR = (
    {(0, 0): 20},  # 10 m: 0.5
    {(0, 0): 10, (0, 7): 20},  # 0, 0
    {(0, 7): 40},  # 20 m: 0.5
    {(0, 0): 8, (2, 0): 8, (0, 6): 16},  # 0.25, 0.25, 0.25
)


def test_pixels_are_pooled_over_four_samples_in_b_and_averaged_per_image_in_a() -> None:
    errors = [0.5, 0, 0, 0.5, 0.25, 0.25, 0.25]
    assert abs_rel(VfDepthProtocol(**B), *FOUR) == (pytest.approx(np.mean(errors)), 7, 4)
    assert abs_rel(SurroundDepthProtocol(), *FOUR) == (pytest.approx((0.5 + 0 + 0.5 + 0.25) / 4), 7, 4)


def test_batches_of_b_are_averaged_and_an_incomplete_last_one_is_left_out() -> None:
    perfect = {(0, 0): 10.0}
    pooled = np.mean([0.5, 0, 0, 0.5, 0.25, 0.25, 0.25])
    protocol = VfDepthProtocol(**B)
    assert abs_rel(protocol, *FOUR, *[perfect] * 4) == (pytest.approx(pooled / 2), 11, 8)
    assert abs_rel(protocol, *FOUR, *[perfect] * 3) == (pytest.approx(pooled), 7, 4)
    assert abs_rel(protocol, FOUR[0], perfect) == (pytest.approx(0.25), 2, 2)  # the only batch there is


def test_the_median_of_b_is_that_of_the_batch() -> None:
    """Truth 8 8 10 16 20 20 40: 16. Predictions 10 10 10 10 20 20 20: 10. So 16 and 32 m are measured."""
    protocol = VfDepthProtocol(scaling="median", **B)
    errors = [4 / 20, 6 / 10, 12 / 20, 8 / 40, 1, 1, 1]
    found = abs_rel(protocol, *FOUR)
    assert found == (pytest.approx(np.mean(errors), rel=1e-6), 7, 4)


# Masks


def test_masked_pixels_are_not_measured() -> None:
    mask = np.ones((4, 8), np.bool_)
    mask[:, :4] = False
    frames = ({(0, 0): 20, (0, 7): 40},)
    assert abs_rel(SurroundDepthProtocol(), *frames)[1] == 2
    assert abs_rel(SurroundDepthProtocol(masks={"front": mask}), *frames) == (pytest.approx(0.5), 1, 1)
    mask[0, 0] = True
    assert abs_rel(SurroundDepthProtocol(masks={"front": mask}), *frames)[1] == 2
    # In B a pixel counts that any unmasked pixel falls into: as the resized mask is not black there.
    assert abs_rel(VfDepthProtocol(masks={"front": mask}, **B), {(1, 1): 20, (3, 3): 20, (0, 7): 40})[1] == 2


def test_masks_are_read_and_must_fit(tmp_path: Path) -> None:
    rig = Wall({}).rig
    with pytest.raises(FsmdeError, match=r"front.png is missing or not a PNG"):
        load_masks(tmp_path, rig)
    cv2.imwrite(str(tmp_path / "front.png"), np.array([[0, 255] * 4] * 4, np.uint8))
    assert load_masks(tmp_path, rig)["front"].tolist() == [[False, True] * 4] * 4
    cv2.imwrite(str(tmp_path / "front.png"), np.zeros((5, 8), np.uint8))
    with pytest.raises(FsmdeError, match="is 8x5, camera 'front' is 8x4"):
        load_masks(tmp_path, rig)


# Flip averaging


def test_flip_averaging_is_the_mean_of_inverse_depth_with_one_prediction_at_either_border() -> None:
    width = 41
    depth, other = np.full((1, 1, width), 2, np.float32), np.full((1, 1, width), 6, np.float32)
    sigma, other_sigma = depth / 10, other / 5
    combined, spread = average_flipped(depth, sigma, other, other_sigma)
    assert combined[0, 0, :3] == pytest.approx(6)  # up to 5 % of the width: the mirrored one
    assert combined[0, 0, -3:] == pytest.approx(2)
    assert combined[0, 0, 4:37] == pytest.approx(3)  # 2 / (1/2 + 1/6)
    assert combined[0, 0, 3] == pytest.approx(1 / (0.25 / 2 + 0.75 / 6))  # half way out of the strip
    assert spread[0, 0, 20] == pytest.approx(3 * 0.15)
    assert spread[0, 0, 0] == pytest.approx(6 * 0.2)


def test_the_mirrored_prediction_is_mirrored_back() -> None:
    ramp = np.linspace(1, 5, 50, dtype=np.float32)[None, None]
    combined, _ = average_flipped(ramp, ramp, ramp[..., ::-1], ramp[..., ::-1])
    np.testing.assert_allclose(combined, ramp, rtol=1e-6)


def test_flip_averaging_changes_nothing_for_a_model_without_left_and_right(
    tiny_model: Path, nuscenes_root: Path
) -> None:
    """The tiny model's depth is that of the pixel's own colour."""
    from fsmde_core.engines import load_engine
    from fsmde_core.pipeline.pipeline import CpuPipeline
    from fsmde_core.sources.datasets.nuscenes import NuScenesSource

    pipeline = CpuPipeline(load_engine("onnxruntime", tiny_model))
    frame = NuScenesSource(nuscenes_root).frame(0)
    plain, flipped = (ModelPredictor(pipeline, flip).predict(frame) for flip in (False, True))
    pipeline.close()
    for name, prediction in plain.items():
        np.testing.assert_allclose(flipped[name].depth, prediction.depth, rtol=1e-5)
        assert prediction.sigma is not None and flipped[name].sigma is not None
        np.testing.assert_allclose(flipped[name].sigma, prediction.sigma, rtol=1e-5)
