"""Draws pictures for people: the six views beside their depth, and the cloud from above. No display is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.images.colormap import DEPTH_TICKS_M, FAR_M, NEAR_M

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RING_STEP_M = 10
VEHICLE_M = (4.6, 1.9)
PAPER, INK, FAINT = "#14171c", "#e8eaed", "#8b939e"
TILE_WIDTH = 640
BRIGHTEN = 0.75  # exponent on the points' colours: dusk on a dark ground is hard to see


def depth_colors() -> tuple[Any, Any]:
    """Make (colour map, norm) of depth in metres: logarithmic, near warm and far cold; no depth is dark grey."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    return colormaps["turbo_r"].with_extremes(bad="#2a2e35"), LogNorm(NEAR_M, FAR_M, clip=True)


def surround_sheet(
    path: str | Path,
    images: Mapping[str, NDArray[np.uint8]],
    depth: Mapping[str, NDArray[np.float32]],
    title: str,
) -> None:
    """Save each view beside its depth, two views a row, with one scale for all.

    Args:
        path: Picture file.
        images: (H, W, 3) uint8 RGB by camera, in the order of the ring.
        depth: (h, w) float32 metres by camera, NaN for none, any size.
        title: Is written above.
    """
    if not images or set(images) != set(depth):
        raise FsmdeError(f"a sheet needs images and depth of the same cameras, not {list(images)} and {list(depth)}")
    rows = -(-len(images) // 2)
    tiles = {name: _fit(image) for name, image in images.items()}
    ratio = max(tile.shape[0] / tile.shape[1] for tile in tiles.values())
    figure = _figure(16, 4 * rows * ratio + 0.35 * rows + 1.5)
    grid = figure.add_gridspec(
        rows, 4, left=0.01, right=0.99, top=1 - 0.8 / figure.get_figheight(), bottom=0.95 / figure.get_figheight(),
        wspace=0.02, hspace=0.35 / (4 * ratio),
    )  # fmt: skip
    colors, norm = depth_colors()
    for index, name in enumerate(images):
        row, column = divmod(index, 2)
        view, map_ = (figure.add_subplot(grid[row, 2 * column + side]) for side in (0, 1))
        view.imshow(tiles[name], interpolation="antialiased")
        map_.imshow(depth[name], cmap=colors, norm=norm, interpolation="antialiased", aspect="auto")
        map_.set_box_aspect(tiles[name].shape[0] / tiles[name].shape[1])
        view.set_title(name.replace("_", " "), loc="left", color=INK, fontsize=12, fontweight="bold", pad=4)
        map_.set_title(_range_text(depth[name]), loc="left", color=FAINT, fontsize=10, pad=4)
        for axes in (view, map_):
            axes.set_axis_off()
    figure.text(0.01, 1 - 0.22 / figure.get_figheight(), title, color=INK, fontsize=14, va="top")
    _depth_bar(figure, colors, norm)
    _save(figure, path)


def birds_eye(
    path: str | Path, points: NDArray[np.float32], colors: NDArray[np.uint8], title: str, radius_m: float = 40.0
) -> None:
    """Save a cloud from above: the vehicle's nose up, its left side left, range rings every 10 m.

    Args:
        path: Picture file.
        points: (N, 3) float32 metres in the base frame.
        colors: (N, 3) uint8 RGB.
        title: Is written above.
        radius_m: What is further away in x or y is left out.
    """
    figure = _figure(11, 11.6)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.91), facecolor=PAPER)
    near = (np.abs(points[:, :2]) < radius_m).all(axis=1)
    order = np.argsort(points[near, 2])  # what is high covers what is low, as seen from above
    seen, tint = points[near][order], (colors[near][order] / 255.0) ** BRIGHTEN
    axes.scatter(-seen[:, 1], seen[:, 0], s=2.2, c=tint, marker="s", linewidths=0)
    draw_rings(axes, range(RING_STEP_M, int(radius_m) + 1, RING_STEP_M), va="top", fontsize=10, below=0.2)
    _vehicle(axes)
    if not seen.size:
        text = "no point of the cloud lies within this range"
        axes.text(0, -0.3 * radius_m, text, color=INK, fontsize=14, ha="center", backgroundcolor=PAPER)
    axes.set_xlim(-radius_m, radius_m)
    axes.set_ylim(-radius_m, radius_m)
    axes.set_aspect("equal")
    axes.set_axis_off()
    figure.text(0.03, 0.98, title, color=INK, fontsize=14, va="top")
    caption = f"forward is up, colours are those of the images, rings every {RING_STEP_M} m"
    figure.text(0.03, 0.955, caption, color=FAINT, fontsize=11, va="top")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, facecolor=PAPER)


def _save(figure: Figure, path: str | Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    try:
        figure.savefig(path)
    except OSError as error:
        raise FsmdeError(f"the picture {path} cannot be written: {error.strerror}") from error


def _fit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = TILE_WIDTH / image.shape[1]
    size = (TILE_WIDTH, max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _range_text(depth: NDArray[np.float32]) -> str:
    known = depth[np.isfinite(depth)]
    if not known.size:
        return "no depth"
    low, middle = np.percentile(known, (1, 50))
    return f"nearest {low:.1f} m, median {middle:.1f} m"


def _depth_bar(figure: Figure, colors: Any, norm: Any) -> None:
    from matplotlib.cm import ScalarMappable

    height = figure.get_figheight()
    bar = figure.colorbar(
        ScalarMappable(norm, colors),
        cax=figure.add_axes((0.3, 0.55 / height, 0.4, 0.16 / height)),
        orientation="horizontal",
        ticks=DEPTH_TICKS_M,
    )
    bar.minorticks_off()
    bar.ax.set_xticklabels([*map(str, DEPTH_TICKS_M[:-1]), f"{DEPTH_TICKS_M[-1]}+"])
    bar.ax.tick_params(colors=INK, labelsize=11)
    bar.outline.set_visible(False)  # type: ignore[operator]
    label = "depth along the optical axis, metres"
    figure.text(0.29, 0.63 / height, label, color=INK, fontsize=11, ha="right", va="center")


def draw_rings(axes: Axes, radii_m: Iterable[int], va: str, fontsize: int, below: float = 0.0) -> None:
    from matplotlib.patches import Circle

    for radius in radii_m:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=FAINT, linewidth=0.8, alpha=0.7))
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        axes.text(0, radius - below, f"{radius} m", color=INK, fontsize=fontsize, ha="center", va=va, bbox=box)


def _vehicle(axes: Axes) -> None:
    from matplotlib.patches import Polygon, Rectangle

    length, width = VEHICLE_M
    axes.add_patch(Rectangle((-width / 2, -length / 2), width, length, facecolor="#ffb300", edgecolor=PAPER, zorder=5))
    nose = [(-width / 2, length / 2 - 1.2), (width / 2, length / 2 - 1.2), (0, length / 2 - 0.1)]
    axes.add_patch(Polygon(nose, facecolor=PAPER, edgecolor="none", zorder=6))
