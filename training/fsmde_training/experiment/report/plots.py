"""Pictures of the results: gain per arm, error per set, and one ring as the networks see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.images.colormap import DEPTH_TICKS_M
from fsmde_core.views.matplotlib import depth_colors
from fsmde_training.experiment.arms import ARMS, BASELINES, PROPOSED, SUPERVISED, title
from fsmde_training.experiment.results import RunResult, SeedSpread, gains, of_arm, over_seeds
from fsmde_training.experiment.sets import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, BLUE, GREEN, INK, FAINT = "#9aa3ad", "#4c78a8", "#2f8f5b", "#22262b", "#6b727b"
NOTHING_M = 1e6


def plot_gains(runs: Sequence[RunResult], path: Path, wanted: float) -> None:
    """One bar per arm: mean gain over seeds, its standard deviation, a dot per seed. wanted: percent, a line."""
    arms = [name for name in ARMS if name != SUPERVISED and of_arm(runs, name)]
    figure = _figure(8.5, 1.6 + 0.5 * len(arms))
    axes = figure.subplots()
    for place, name in enumerate(arms):
        values = list(gains(runs, name).values())
        spread = SeedSpread.of(values)
        axes.barh(place, spread.mean, 0.62, color=_color(name))
        if len(values) > 1:
            axes.errorbar(spread.mean, place, xerr=spread.std, color=INK, capsize=4, linewidth=1.4)
        axes.plot(values, [place + 0.2] * len(values), "o", color="white", markeredgecolor=INK, markersize=5)
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(wanted, color=FAINT, linewidth=1, linestyle="--")
    axes.text(wanted, -0.62, f" {wanted} %, reported for the paper", color=FAINT, fontsize=9, va="center")
    axes.set_yticks(range(len(arms)), [title(name) for name in arms])
    axes.set_ylim(len(arms) - 0.4, -0.9)
    axes.set_xlabel(
        "AbsRel lower than the supervised student's, %, mean of the evaluation sets (right is better)\n"
        "bar: mean over seeds, whisker: standard deviation, dots: seeds"
    )
    axes.set_title("Gain of each form of distillation over labels alone", loc="left", color=INK)
    _finish(figure, axes, path)


def plot_errors(runs: Sequence[RunResult], path: Path) -> None:
    """AbsRel of every arm on every evaluation set; the teacher and constant depth as lines."""
    sets, arms = list(runs[0].sets), [name for name in ARMS if of_arm(runs, name)]
    figure = _figure(3.1 * max(len(sets), 2), 4.2)
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, name in zip(panels, sets, strict=True):
        for place, arm in enumerate(arms):
            value = over_seeds(runs, arm, lambda run, name=name: run.sets[name].mean.abs_rel)  # type: ignore[misc]
            axes.bar(place, value.mean, 0.7, color=_color(arm))
            if value.std == value.std:
                axes.errorbar(place, value.mean, yerr=value.std, color=INK, capsize=3, linewidth=1.2)
        for reference, style in (("teacher", "-"), ("constant", ":")):
            for run in of_arm(runs, reference):
                level = run.sets[name].mean.abs_rel
                axes.axhline(level, color=FAINT, linewidth=1.1, linestyle=style, label=title(reference))
        axes.set_xticks(range(len(arms)), [title(arm) for arm in arms], rotation=60, ha="right")
        axes.set_title(TITLES[name], color=INK)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("AbsRel, lower is better")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
    _finish(figure, None, path)


def plot_ring(
    images: Mapping[str, NDArray[np.uint8]],
    columns: Mapping[str, Mapping[str, NDArray[np.float32]]],
    heading: str,
    path: Path,
) -> None:
    """A row per camera: the image, then every entry of `columns`: its title and (H, W) depth in metres by camera."""
    colors, norm = depth_colors()
    rows = len(images)
    ratio = max(image.shape[0] / image.shape[1] for image in images.values())
    figure = _figure(2.6 * (1 + len(columns)), 2.6 * rows * ratio + 1.4)
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
    _finish(figure, None, path)


def spread_points(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) lidar depth, NaN where unknown, at (width, height) = `size`: the nearest point per pixel, as big dots."""
    width, height = size
    row, column = np.nonzero(np.isfinite(depth))
    place = row * height // depth.shape[0], column * width // depth.shape[1]
    nearest = np.full((height, width), NOTHING_M, np.float32)
    np.minimum.at(nearest, place, depth[row, column])
    dots = cv2.erode(nearest, np.ones((2, 2), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return np.where(dots < NOTHING_M, dots, np.float32(np.nan))


def _color(arm: str) -> str:
    return GREY if arm == SUPERVISED or arm in BASELINES else GREEN if arm == PROPOSED else BLUE


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")


def _finish(figure: Figure, axes: Axes | None, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if axes is not None:
        axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure)
    figure.savefig(path)
