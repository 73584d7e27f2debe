"""Metrics, protocol A and the run over a recording, against numbers worked out by hand."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.evaluate import score_predictors
from fsmde_core.evaluation.measures.metrics import MEASURES, Metrics, average, depth_metrics
from fsmde_core.evaluation.predictors.predictors import Prediction, Predictor
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.record import FrameRecord, ImageRecord
from fsmde_core.evaluation.results.summary import Summary
from fsmde_core.frames import CameraImage, Frame, LidarSweep
from fsmde_core.images.rectify import rectify_maps
from fsmde_core.lidar.projection import depth_map
from fsmde_core.rig.geometry import rigid
from fsmde_core.rig.rig import Camera, Rig

NAN = float("nan")


def float32(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_metrics_of_a_2x3_image_worked_out_by_hand() -> None:
    truth = float32((2, 4, 5), (10, NAN, 0.05))
    prediction = float32((1, 5, 5), (20, 3, 3))
    found = SurroundDepthProtocol().measure(truth, prediction)
    assert found is not None and found.n == 4
    assert found.abs_rel == pytest.approx((1 / 2 + 1 / 4 + 0 + 10 / 10) / 4)
    assert found.sq_rel == pytest.approx((1 / 2 + 1 / 4 + 0 + 100 / 10) / 4)
    assert found.rmse == pytest.approx(5.0497525, abs=1e-6)
    assert found.rmse_log == pytest.approx(0.5026678, abs=1e-6)
    # The ratios are 2, 1.25, 1 and 2; 1.25 is not below 1.25.
    assert (found.a1, found.a2, found.a3) == (0.25, 0.5, 0.5)


depths = st.floats(0.125, 79.0, width=32)


@given(st.lists(st.tuples(depths, depths), min_size=1, max_size=30))
def test_metrics_agree_with_a_second_implementation(pairs: list[tuple[float, float]]) -> None:
    n = len(pairs)
    expected = {
        "abs_rel": math.fsum(abs(d / g - 1) for g, d in pairs) / n,
        "sq_rel": math.fsum(g * (d / g - 1) ** 2 for g, d in pairs) / n,
        "rmse": math.sqrt(math.fsum((g - d) * (g - d) for g, d in pairs) / n),
        "rmse_log": math.sqrt(math.fsum(math.log(g / d) ** 2 for g, d in pairs) / n),
    }
    for power in (1, 2, 3):
        expected[f"a{power}"] = sum(g < 1.25**power * d and d < 1.25**power * g for g, d in pairs) / n
    truth, prediction = np.array(pairs, np.float32).T
    found = depth_metrics(truth, prediction)
    for name in MEASURES:
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-6, abs=1e-9), name
    assert found.n == n


def test_predictions_are_resized_bilinearly_with_pixel_centres_at_half() -> None:
    """Output pixel i of 4 lies at (i + 0.5) / 2 - 0.5 of 2: at -0.25, 0.25, 0.75 and 1.25."""
    found = SurroundDepthProtocol().measure(float32((1, 1.5, 2.5, 3), (1, 1.5, 2.5, 3)), float32((1, 3)))
    assert found is not None and found.abs_rel == 0 and found.n == 8


def test_truth_at_the_limits_is_left_out_and_predictions_are_clipped_to_them() -> None:
    protocol = SurroundDepthProtocol(cap_m=80)
    truth = float32((0.1, 80, 90, 79, 0.2, 40))
    found = protocol.measure(truth, float32((1, 1, 1, 1000, 0, float("inf"))))
    assert found is not None and found.n == 3
    assert found.abs_rel == pytest.approx((1 / 79 + 0.5 + 1) / 3, rel=1e-6)
    farther = SurroundDepthProtocol(cap_m=200).measure(truth, truth)
    assert farther is not None and farther.n == 5
    assert protocol.measure(float32((NAN, 0.05, 80)), float32((1, 1, 1))) is None


def test_a_measured_pixel_without_a_prediction_is_an_error() -> None:
    protocol = SurroundDepthProtocol()
    found = protocol.measure(float32((5, NAN)), float32((4, NAN)))
    assert found is not None and (found.n, found.abs_rel) == (1, pytest.approx(0.2))
    with pytest.raises(FsmdeError, match="1 of 2 measured pixels have no predicted depth"):
        protocol.measure(float32((5, 6, NAN)), float32((4, NAN, 3)))


def record(index: int, **images: tuple[float, int]) -> FrameRecord:
    """Of a predictor 'guess': camera = (abs_rel, n), all other measures 0."""
    sums = {name: np.array([[[abs_rel * n, *[0.0] * 6, n]]]) for name, (abs_rel, n) in images.items()}
    return FrameRecord(
        index, dict.fromkeys(images, index), True, {"guess": {n: ImageRecord(s) for n, s in sums.items()}}
    )


def metrics(abs_rel: float, n: int) -> Metrics:
    return Metrics(abs_rel, 0, 0, 0, 0, 0, 0, n)


def test_images_are_averaged_per_camera_and_then_cameras_all_unweighted() -> None:
    """Pooled over pixels or over images 0.3 would come out."""
    rig = Rig(tuple(Camera(name, 8, 6, Recording.K) for name in ("a", "b", "without_truth")))
    summary = Summary(SurroundDepthProtocol(), rig)
    summary.add(record(0, a=(0.1, 1), b=(0.5, 1)))
    summary.add(record(1, a=(0.3, 3)))
    summary.finish()
    cameras, mean = summary.scores["guess"].cameras, summary.scores["guess"].mean
    assert set(cameras) == {"a", "b"}
    assert cameras["a"].abs_rel == pytest.approx(0.2) and cameras["a"].n == 4
    assert mean.abs_rel == pytest.approx(0.35) and mean.n == 5
    assert average([metrics(0.5, 2)]) == metrics(0.5, 2)


def test_caps_are_those_of_published_figures_unless_given() -> None:
    assert [make_protocol("surrounddepth", name).cap_m for name in ("nuscenes", "pandaset", "ddad")] == [80, 80, 200]
    assert make_protocol("surrounddepth", "ddad", 50.0).cap_m == 50
    for cap in (0.0, -1.0, NAN, float("inf")):
        with pytest.raises(FsmdeError, match="cap is"):
            make_protocol("surrounddepth", "ddad", cap)
    with pytest.raises(FsmdeError, match="protocol 'x' is unknown"):
        make_protocol("x", "ddad")


class Recording:
    """Two cameras 8x6 that look forward and back; the lidar sees three points in front and one behind."""

    name = "constructed"
    notes = ()
    K = np.array([[4.0, 0, 3.5], [0, 4.0, 2.5], [0, 0, 1]])
    FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    BACK = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])

    def __init__(self, frames: int = 2, lidar: bool = True) -> None:
        self.rig = Rig(
            tuple(
                Camera(name, 8, 6, self.K, rigid(rotation, [0, 0, 1]))
                for name, rotation in (("front", self.FORWARD), ("back", self.BACK))
            )
        )
        self.alive: list[weakref.ref[Frame]] = []
        self._frames, self._lidar = frames, lidar

    def __len__(self) -> int:
        return self._frames

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in range(*slice(start, stop).indices(len(self))):
            self.alive = [reference for reference in self.alive if reference() is not None]
            assert len(self.alive) <= 2 + 3 * os.cpu_count()  # what is read, prepared and scored ahead
            yield self._frame(index)

    def _frame(self, index: int) -> Frame:
        # The vehicle moves by 1 m between the sweep and the exposures.
        points = float32((9, 0.01, 1.01), (5, 1.0, 1.0), (90, -30, 1.01), (-3, 0.01, 1.01))
        frame = Frame(
            index,
            self.rig,
            {name: CameraImage(index, pixels=np.zeros((6, 8, 3), np.uint8)) for name in self.rig.names},
            dict.fromkeys(self.rig.names, rigid(np.eye(3), [index + 1.0, 0, 0])),
            LidarSweep(index, points, rigid(np.eye(3), [index, 0, 0])) if self._lidar else None,
        )
        self.alive.append(weakref.ref(frame))
        return frame


class Exact(Predictor):
    name = "exact"

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        return {name: Prediction(depth_map(frame, name)) for name in frame.images}


class Fixed(Predictor):
    """8 m everywhere, at a quarter of the size."""

    name = "fixed"

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        return dict.fromkeys(frame.images, Prediction(np.full((3, 4), 8, np.float32)))


def test_a_run_scores_every_predictor_on_the_same_pixels() -> None:
    """After the motion the points lie 8, 4 and 89 m ahead, the last beyond the cap, and 4 m behind."""
    result = score_predictors(Recording(), [Exact(), Fixed()], SurroundDepthProtocol())
    assert (result.samples, list(result.scores)) == (2, ["exact", "fixed"])
    exact, fixed = result.scores["exact"], result.scores["fixed"]
    assert exact.mean == Metrics(0, 0, 0, 0, 1, 1, 1, n=6)
    assert list(fixed.cameras) == ["front", "back"]
    assert fixed.cameras["front"].abs_rel == pytest.approx((0 + 1) / 2)
    assert fixed.cameras["back"].abs_rel == pytest.approx(1)
    assert fixed.mean.abs_rel == pytest.approx(0.75) and fixed.mean.n == 6


def test_a_run_takes_the_frames_it_is_asked_for() -> None:
    records = frame_records(Recording(5), [Exact()], SurroundDepthProtocol(), (1, 4))
    assert [record.index for record in records] == [1, 2, 3]


@pytest.mark.parametrize(
    ("recording", "span", "cap", "words"),
    [
        (Recording(2, lidar=False), (0, None), 80.0, "2 read, 0 with lidar"),
        (Recording(2), (5, 9), 80.0, "frames 5:9 of constructed: 0 read"),
        (Recording(2), (0, None), 2.0, "none with a point within the range"),
    ],
)
def test_nothing_to_measure_is_an_error(
    recording: Recording, span: tuple[int, int | None], cap: float, words: str
) -> None:
    with pytest.raises(FsmdeError, match=words):
        score_predictors(recording, [Fixed()], SurroundDepthProtocol(cap_m=cap), span)


def test_an_error_of_a_predictor_names_it_and_the_image() -> None:
    class Holes(Fixed):
        name = "holes"

        def predict(self, frame: Frame) -> Mapping[str, Prediction]:
            return dict.fromkeys(frame.images, Prediction(np.full((3, 4), NAN, np.float32)))

    with pytest.raises(FsmdeError, match="holes, camera 'front' of frame 0: 2 of 2 measured"):
        score_predictors(Recording(), [Holes()], SurroundDepthProtocol())


class Bent(Recording):
    """The lens leaves corners empty; one of them has another point, which in frame 1 is the only one in front."""

    def __init__(self) -> None:
        super().__init__(3)
        self.rig = Rig(tuple(replace(camera, D=np.array([0.3, 0, 0, 0])) for camera in self.rig.cameras))

    def _frame(self, index: int) -> Frame:
        frame = super()._frame(index)
        assert frame.lidar is not None
        points = np.concatenate([float32((9, 7, 6)), frame.lidar.points[3 if index == 1 else 0 :]])
        return replace(frame, lidar=replace(frame.lidar, points=points))


class Seen(Predictor):
    """8 m where there is an image, at twice the size; NaN in the rest, and in the columns from `end` on."""

    name = "seen"

    def __init__(self, end: int = 16) -> None:
        self.end = end

    def predict(self, frame: Frame) -> Mapping[str, Prediction]:
        found = {}
        for camera in frame.rig.cameras:
            outside = rectify_maps(camera, camera.rectified(16, 12)).outside
            assert outside is not None and outside[0, 0]
            depth = np.where(outside, np.float32(NAN), np.float32(8))
            depth[:, self.end :] = NAN
            found[camera.name] = Prediction(depth)
        return found


@pytest.mark.parametrize("protocol", [SurroundDepthProtocol(), make_protocol("vfdepth", "x", 80.0, "median")])
def test_the_empty_corners_of_a_bent_image_are_measured_of_no_predictor(protocol: EvaluationProtocol) -> None:
    result = score_predictors(Bent(), [Fixed(), Seen()], protocol)
    assert {name: scores.mean.n for name, scores in result.scores.items()} == {"fixed": 7, "seen": 7}
    alone = score_predictors(Bent(), [Fixed()], SurroundDepthProtocol())
    assert alone.scores["fixed"].mean.n == 10  # it needs no image


def test_what_a_predictor_leaves_out_elsewhere_is_an_error() -> None:
    with pytest.raises(FsmdeError, match="seen, camera 'front' of frame 0: 1 of 2 measured pixels have no predicted"):
        score_predictors(Bent(), [Fixed(), Seen(end=6)], SurroundDepthProtocol())
