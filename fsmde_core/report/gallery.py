"""Best and worst images of the results: fetched from the recording again, predicted again, and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import depth_metrics
from fsmde_core.evaluation.measures.pixels import sample
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Prediction
from fsmde_core.evaluation.protocols.surrounddepth import make_protocol
from fsmde_core.frames import Frame
from fsmde_core.images.rectify import Preprocessor
from fsmde_core.lidar.projection import lidar_to_camera, project
from fsmde_core.pipeline.pipeline import Pipeline
from fsmde_core.report import views
from fsmde_core.report.birds_eye import birds_eye_view
from fsmde_core.report.documents import LoadedResult
from fsmde_core.report.views import ColourScale, data_uri
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.source import Source

ALONE, COMPARED = 4, 2  # images of each list of extremes: of one result, and of each of several


@dataclass(frozen=True)
class PicturedView:
    """Pictures of one image, as data URIs. name: of the results whose model it is. abs_rel: of what is pictured."""

    name: str
    abs_rel: float
    depth: str
    error: str
    sigma: str
    birds_eye: str


@dataclass(frozen=True)
class ModelPictures:
    """One image of one camera. abs_rel: as the evaluation had it. size: width and height of its pictures, pixels."""

    title: str
    abs_rel: float
    image: str
    size: tuple[int, int]
    views: Sequence[PicturedView]


@dataclass(frozen=True)
class Gallery:
    """groups: heading -> images, the most extreme first."""

    groups: Mapping[str, Sequence[ModelPictures]]
    scales: Mapping[str, ColourScale]


@dataclass(frozen=True)
class FrameChoice:
    """An image to show: an entry of a document's extremes, and of which list it is."""

    group: str
    frame: int
    camera: str
    stamp_ns: int
    abs_rel: float


def make_gallery(results: Sequence[LoadedResult], source: Source, models: Mapping[str, Pipeline]) -> Gallery:
    """Pictures of the images that the documents call extreme. models: by their sha256.

    Raises FsmdeError when `source` is not the recording that was evaluated.
    """
    picks = _picks(results)
    shots: dict[FrameChoice, ModelPictures] = {}
    for index in sorted({pick.frame for pick in picks}):
        frame = next(iter(source.frames(index, index + 1)), None)
        for pick in picks:
            if pick.frame == index:
                shots[pick] = _shot(pick, _checked(frame, pick, source), results, models)
    groups = {name: [shots[p] for p in picks if p.group == name] for name in dict.fromkeys(p.group for p in picks)}
    scales = {"depth": views.depth_scale(), "sigma": views.sigma_scale(), "error": views.error_scale()}
    return Gallery(groups, scales)


def _picks(results: Sequence[LoadedResult]) -> list[FrameChoice]:
    """Worst and best images of every result, each image once."""
    count = ALONE if len(results) == 1 else COMPARED
    picks: dict[tuple[int, str], FrameChoice] = {}
    for key in ("worst", "best"):
        for result in results:
            for entry in (result.at("extremes", key) or [])[:count]:
                frame, camera = entry["frame"], entry["camera"]
                pick = FrameChoice(f"{key.capitalize()} images", frame, camera, entry["stamp_ns"], entry["abs_rel"])
                picks.setdefault((frame, camera), pick)
    return list(picks.values())


def _checked(frame: Frame | None, pick: FrameChoice, source: Source) -> Frame:
    image = frame.images.get(pick.camera) if frame else None
    if frame is None or image is None or image.stamp_ns != pick.stamp_ns:
        found = f"stamp {image.stamp_ns}" if image else "no such image"
        raise FsmdeError(
            f"frame {pick.frame} of {source.name} has {found} for camera '{pick.camera}', the result has stamp "
            f"{pick.stamp_ns}; give the recording that was evaluated with --root, or leave the pictures out with "
            "--no-pictures"
        )
    return frame


def _shot(
    pick: FrameChoice, frame: Frame, results: Sequence[LoadedResult], models: Mapping[str, Pipeline]
) -> ModelPictures:
    camera = frame.rig[pick.camera]
    size = (views.WIDTH, round(views.WIDTH * camera.height / camera.width))
    rgb = Preprocessor(*size).rectify(frame.images[camera.name].image(), camera).rgb
    alone = replace(frame, images={camera.name: frame.images[camera.name]})
    same: dict[tuple[str, bool], list[LoadedResult]] = {}
    for result in results:  # of one model on two engines the pictures are the same
        same.setdefault((result.at("model_sha256"), bool(result.at("flip"))), []).append(result)
    shown = []
    for (sha256, flip), group in same.items():
        prediction = ModelPredictor(models[sha256], flip).predict(alone)[camera.name]
        shown.append(_view(" and ".join(r.name for r in group), group[0], alone, rgb, prediction))
    return ModelPictures(
        f"{camera.name.replace('_', ' ')}, frame {frame.index}", pick.abs_rel, data_uri(rgb), size, shown
    )


def _view(
    name: str, result: LoadedResult, frame: Frame, rgb: NDArray[np.uint8], prediction: Prediction
) -> PicturedView:
    """frame: with one image, that of `rgb` and `prediction`. result: whose protocol is that of all."""
    (of,), size = frame.images, (rgb.shape[1], rgb.shape[0])
    rules = make_protocol(*(result.at(key) for key in ("protocol", "source", "cap_m", "scaling")))
    truth = rules.truth(frame, of)
    truth = truth.where(~np.isnan(sample([prediction.depth], truth)[0]))
    pixels = rules.pixels(truth, prediction)
    if pixels is None or prediction.sigma is None:
        raise FsmdeError(f"camera '{of}' of frame {frame.index} has no pixel to measure, the result says it had")
    ratio = np.float32(rules.ratio(pixels))
    depth, sigma, measured = ratio * prediction.depth, ratio * prediction.sigma, rules.scaled(pixels, float(ratio))
    camera = frame.rig[of].rectified(depth.shape[1], depth.shape[0])
    return PicturedView(
        name=name,
        abs_rel=depth_metrics(measured.truth, measured.depth).abs_rel,
        depth=data_uri(views.depth_view(depth, size)),
        error=data_uri(views.error_view(rgb, truth, measured.depth)),
        sigma=data_uri(views.sigma_view(sigma, size)),
        birds_eye=data_uri(birds_eye_view(camera, depth, sigma, _lidar(frame, camera))),
    )


def _lidar(frame: Frame, camera: Camera) -> NDArray[np.float64]:
    """(M, 3) metres: the sweep's points that fall into the image, in the optical frame."""
    assert frame.lidar is not None  # the protocol had truth
    T_camera_points = lidar_to_camera(frame, camera.name)
    points = frame.lidar.points[project(frame.lidar.points, T_camera_points, camera).point]
    return points @ T_camera_points[:3, :3].T + T_camera_points[:3, 3]  # type: ignore[no-any-return]
