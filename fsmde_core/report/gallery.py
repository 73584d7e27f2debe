"""Draws the best and worst images of the results, read from the recording and predicted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import depth_metrics
from fsmde_core.evaluation.measures.pixels import sample
from fsmde_core.evaluation.predictors.predictors import ModelPredictor, Prediction
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.frames import Frame
from fsmde_core.images.colormap import depth_rgb, sigma_rgb
from fsmde_core.images.rectify import Preprocessor
from fsmde_core.lidar.projection import lidar_to_camera, project
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.report import views
from fsmde_core.report.birds_eye import birds_eye_view
from fsmde_core.report.documents import LoadedResult
from fsmde_core.report.views import ColourScale, data_uri
from fsmde_core.rig.rig import Camera
from fsmde_core.sources.source import Source

ALONE, COMPARED = 4, 2  # images of each list of extremes: of one result, and of each of several


@dataclass(frozen=True)
class ModelPictures:
    """Holds what one model makes of an image, as data URIs. name: of the results whose model it is."""

    name: str
    abs_rel: float
    depth: str
    error: str
    sigma: str
    birds_eye: str


@dataclass(frozen=True)
class PicturedView:
    """Shows one image of one camera. abs_rel: as evaluated. size: width and height of its pictures, pixels."""

    title: str
    abs_rel: float
    image: str
    size: tuple[int, int]
    views: Sequence[ModelPictures]


@dataclass(frozen=True)
class Gallery:
    """Groups images by heading, the most extreme first."""

    groups: Mapping[str, Sequence[PicturedView]]
    scales: Mapping[str, ColourScale]


@dataclass(frozen=True)
class FrameChoice:
    """Selects an image to show: an entry of a document's extremes, and the list that it is from."""

    group: str
    frame: int
    camera: str
    stamp_ns: int
    abs_rel: float


def make_gallery(results: Sequence[LoadedResult], source: Source, models: Mapping[str, CpuPipeline]) -> Gallery:
    """Picture the images that the documents call extreme.

    Args:
        results: The documents.
        source: The recording that was evaluated.
        models: Model's sha256 -> its pipeline.

    Returns:
        The gallery; FsmdeError where the source is another recording than the one that was evaluated.
    """
    choices = _choices(results)
    views_of: dict[FrameChoice, PicturedView] = {}
    for index in sorted({choice.frame for choice in choices}):
        frame = next(iter(source.frames(index, index + 1)), None)
        for choice in choices:
            if choice.frame == index:
                views_of[choice] = _pictured(choice, _checked(frame, choice, source), results, models)
    names = dict.fromkeys(choice.group for choice in choices)
    groups = {name: [views_of[choice] for choice in choices if choice.group == name] for name in names}
    return Gallery(groups, views.colour_scales())


def _choices(results: Sequence[LoadedResult]) -> list[FrameChoice]:
    count = ALONE if len(results) == 1 else COMPARED
    choices: dict[tuple[int, str], FrameChoice] = {}
    for key in ("worst", "best"):
        for result in results:
            for entry in (result.at("extremes", key) or [])[:count]:
                frame, camera = entry["frame"], entry["camera"]
                choice = FrameChoice(f"{key.capitalize()} images", frame, camera, entry["stamp_ns"], entry["abs_rel"])
                choices.setdefault((frame, camera), choice)
    return list(choices.values())


def _checked(frame: Frame | None, choice: FrameChoice, source: Source) -> Frame:
    image = frame.images.get(choice.camera) if frame else None
    if frame is None or image is None or image.stamp_ns != choice.stamp_ns:
        found = f"stamp {image.stamp_ns}" if image else "no such image"
        raise FsmdeError(
            f"frame {choice.frame} of {source.name} has {found} for camera '{choice.camera}', the result has stamp "
            f"{choice.stamp_ns}; give the recording that was evaluated with --root, or leave the pictures out with "
            "--no-pictures"
        )
    return frame


def _pictured(
    choice: FrameChoice, frame: Frame, results: Sequence[LoadedResult], models: Mapping[str, CpuPipeline]
) -> PicturedView:
    camera = frame.rig[choice.camera]
    size = (views.WIDTH, round(views.WIDTH * camera.height / camera.width))
    rgb = Preprocessor(*size).rectify(frame.images[camera.name].image(), camera).rgb
    alone = replace(frame, images={camera.name: frame.images[camera.name]})
    same: dict[tuple[str, bool], list[LoadedResult]] = {}
    for result in results:  # of one model on two engines the pictures are the same
        same.setdefault((result.at("model_sha256"), bool(result.at("flip"))), []).append(result)
    shown = []
    for (sha256, flip), group in same.items():
        prediction = ModelPredictor(models[sha256], flip).predict(alone)[camera.name]
        shown.append(_model_pictures(" and ".join(r.name for r in group), group[0], alone, rgb, prediction))
    title = f"{camera.name.replace('_', ' ')}, frame {frame.index}"
    return PicturedView(title, choice.abs_rel, data_uri(rgb), size, shown)


def _model_pictures(
    name: str, result: LoadedResult, frame: Frame, rgb: NDArray[np.uint8], prediction: Prediction
) -> ModelPictures:
    """Draw the prediction for a frame with one image, which is `rgb`, by the protocol of the result."""
    (camera_name,), size = frame.images, (rgb.shape[1], rgb.shape[0])
    protocol = make_protocol(*(result.at(key) for key in ("protocol", "source", "cap_m", "scaling")))
    truth = protocol.truth(frame, camera_name)
    truth = truth.where(~np.isnan(sample([prediction.depth], truth)[0]))
    pixels = protocol.pixels(truth, prediction)
    if pixels is None or prediction.sigma is None:
        image = f"camera '{camera_name}' of frame {frame.index}"
        raise FsmdeError(f"{image} has no pixel to measure, but the result says that it had")
    ratio = np.float32(protocol.ratio(pixels))
    depth, sigma, measured = ratio * prediction.depth, ratio * prediction.sigma, protocol.scaled(pixels, float(ratio))
    shown_depth, shown_sigma = (cv2.resize(values, size, interpolation=cv2.INTER_LINEAR) for values in (depth, sigma))
    camera = frame.rig[camera_name].rectified(depth.shape[1], depth.shape[0])
    return ModelPictures(
        name=name,
        abs_rel=depth_metrics(measured.truth, measured.depth).abs_rel,
        depth=data_uri(depth_rgb(shown_depth)),  # type: ignore[arg-type]
        error=data_uri(views.error_view(rgb, truth, measured.depth)),
        sigma=data_uri(sigma_rgb(shown_sigma)),  # type: ignore[arg-type]
        birds_eye=data_uri(birds_eye_view(camera, depth, sigma, _lidar(frame, camera))),
    )


def _lidar(frame: Frame, camera: Camera) -> NDArray[np.float64]:
    """Select the sweep's points that fall into the image: (M, 3) metres in the optical frame."""
    assert frame.lidar is not None  # the protocol had truth
    T_camera_points = lidar_to_camera(frame, camera.name)
    points = frame.lidar.points[project(frame.lidar.points, T_camera_points, camera).point]
    return points @ T_camera_points[:3, :3].T + T_camera_points[:3, 3]  # type: ignore[no-any-return]
