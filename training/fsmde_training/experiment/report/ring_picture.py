"""Draws one held-out ring: what the cameras see, what is true, and what teacher and students make of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.frames import Frame
from fsmde_core.images.colormap import DEPTH_TICKS_M
from fsmde_core.images.rectify import rectify_rgb
from fsmde_core.views.matplotlib import depth_colors
from fsmde_training.experiment.evaluate import model_predictor
from fsmde_training.experiment.report.plots import INK, new_figure, save_figure
from fsmde_training.experiment.sets import HeldOutSet

Depths = dict[str, NDArray[np.float32]]
"""(H, W) metres by camera, NaN where unknown."""

NO_POINT_M = 1e6


def draw_ring(models: Mapping[str, Path], held_out: HeldOutSet, title: str, size: tuple[int, int], path: Path) -> None:
    """Draw the first frame with lidar of a set.

    Args:
        models: ONNX files by column title.
        held_out: The set.
        title: What the heading calls it.
        size: (width, height) of the images, pixels.
        path: The picture.
    """
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


def plot_ring(
    images: Mapping[str, NDArray[np.uint8]],
    columns: Mapping[str, Depths],
    heading: str,
    path: Path,
) -> None:
    """Draw a row per camera: the image, then its depth in every column.

    Args:
        images: (H, W, 3) uint8 RGB by camera.
        columns: Depths by column title.
        heading: Stands above all.
        path: The picture.
    """
    colors, norm = depth_colors()
    rows = len(images)
    ratio = max(image.shape[0] / image.shape[1] for image in images.values())
    figure = new_figure(2.6 * (1 + len(columns)), 2.6 * rows * ratio + 1.4)
    panels = figure.subplots(rows, 1 + len(columns), squeeze=False)
    for row, (name, image) in zip(panels, images.items(), strict=True):
        row[0].imshow(image)
        row[0].set_ylabel(name.replace("_", " "), color=INK)
        for axes, depth in zip(row[1:], columns.values(), strict=True):
            shown = axes.imshow(depth[name], cmap=colors, norm=norm, interpolation="nearest")
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, text in zip(panels[0], ("image", *columns), strict=True):
        axes.set_title(text, fontsize=11, color=INK)
    bar = figure.colorbar(shown, ax=panels, location="bottom", ticks=DEPTH_TICKS_M, aspect=60, pad=0.01)
    bar.minorticks_off()
    bar.ax.set_xticklabels(map(str, DEPTH_TICKS_M))
    bar.set_label("depth, metres")
    figure.suptitle(heading, color=INK, fontsize=13)
    save_figure(figure, path)


def spread_points(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw lidar depth at another size: the nearest point per pixel, as big dots.

    Args:
        depth: (H, W) metres, NaN where unknown.
        size: The new (width, height), pixels.

    Returns:
        (height, width) metres, NaN where unknown.
    """
    width, height = size
    row, column = np.nonzero(np.isfinite(depth))
    place = row * height // depth.shape[0], column * width // depth.shape[1]
    nearest = np.full((height, width), NO_POINT_M, np.float32)
    np.minimum.at(nearest, place, depth[row, column])
    dots = cv2.erode(nearest, np.ones((2, 2), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.where(dots < NO_POINT_M, dots, np.float32(np.nan))
