"""One held-out ring: what the cameras see, what is true, and what teacher and students make of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsmde_core.frames import Frame
from fsmde_core.images.rectify import rectify_rgb
from fsmde_training.experiment.evaluate import model_predictor
from fsmde_training.experiment.report.plots import plot_ring, spread_points
from fsmde_training.experiment.sets import HeldOutSet

Depths = dict[str, NDArray[np.float32]]


def draw_ring(models: Mapping[str, Path], held_out: HeldOutSet, title: str, size: tuple[int, int], path: Path) -> None:
    """The set's first frame with lidar. models: ONNX files by column title. size: (width, height) of the pictures."""
    frame = next(frame for frame in held_out.source.frames(*held_out.span) if frame.lidar is not None)
    images = {name: rectify_rgb(image.rgb(), frame.rig[name], *size) for name, image in frame.images.items()}
    columns = {"exact depth" if frame.depth else "lidar": _truth(held_out, frame, size)}
    for column, model in models.items():
        with model_predictor(model) as predictor:
            columns[column] = {name: prediction.depth for name, prediction in predictor.predict(frame).items()}
    plot_ring(images, columns, f"{title}, frame {frame.index}: never seen in training", path)


def _truth(held_out: HeldOutSet, frame: Frame, size: tuple[int, int]) -> Depths:
    truth = {name: held_out.protocol.truth(frame, name).to_map() for name in frame.images}
    return truth if frame.depth else {name: spread_points(depth, size) for name, depth in truth.items()}
