"""Draws one camera's depth in colour and against lidar, as (H, W, 3) uint8 RGB images, and describes their scales."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.pixels import SparseDepth
from fsmde_core.images.colormap import DEPTH_TICKS_M, FAR_M, NEAR_M, SURE_M, UNSURE_M, depth_rgb, sigma_rgb
from fsmde_core.report.measures import MINUS

Image = NDArray[np.uint8]

WIDTH = 560
JPEG_QUALITY = 82
LARGEST_ERROR = 0.5
ERROR_COLORS = ("#2f7bff", "#9cc4ff", "#ffffff", "#ffb59e", "#ff4326")
DIMMED = 0.45  # brightness of the photograph under the points


@dataclass(frozen=True)
class ColourScale:
    """Describes a colour bar: a CSS gradient, and ticks as (percent of its length, label)."""

    unit: str
    gradient: str
    ticks: Sequence[tuple[float, str]]


def colour_scales() -> dict[str, ColourScale]:
    """Describe the colour bars of depth, sigma and error."""
    depth_ticks: dict[float, str] = {tick: str(tick) for tick in DEPTH_TICKS_M}
    depth_ticks[DEPTH_TICKS_M[-1]] += "+"
    sigma_ticks: dict[float, str] = {0.1: "≤ 0.1", 0.3: "0.3", 1.0: "1", 3.0: "3", 10.0: "10+"}
    error_ticks = [(25.0 * i, label) for i, label in enumerate((f"≤ {MINUS}50", f"{MINUS}25", "0", "+25", "≥ +50"))]
    errors = np.linspace(-LARGEST_ERROR, LARGEST_ERROR, 17)
    return {
        "depth": _logarithmic_scale("metres", NEAR_M, FAR_M, depth_ticks, depth_rgb),
        "sigma": _logarithmic_scale("metres", SURE_M, UNSURE_M, sigma_ticks, sigma_rgb),
        "error": ColourScale(
            "% of the true depth: blue too near, red too far", _gradient(_error_rgb(errors)), error_ticks
        ),
    }


def data_uri(image: Image) -> str:
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def error_view(rgb: Image, truth: SparseDepth, depth: NDArray[np.float32]) -> Image:
    """Draw signed relative errors as dots on the dimmed photograph, near points over far ones.

    Args:
        rgb: (H, W, 3) uint8.
        truth: M pixels of the same view at any size.
        depth: (M,) float32 metres predicted there.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    grey = cv2.cvtColor((rgb * DIMMED).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    view = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    colors = _error_rgb((depth - truth.z) / truth.z)
    x = (truth.column + 0.5) * (rgb.shape[1] / truth.width) - 0.5
    y = (truth.row + 0.5) * (rgb.shape[0] / truth.height) - 0.5
    centers = np.rint(np.stack([x, y], axis=1) * 16).astype(int)  # OpenCV's fixed point, four binary digits
    for dot in np.argsort(-truth.z, kind="stable"):
        cv2.circle(view, centers[dot].tolist(), 24, colors[dot].tolist(), cv2.FILLED, cv2.LINE_AA, shift=4)
    return view  # type: ignore[return-value]


def _error_rgb(errors: NDArray[np.floating[Any]]) -> Image:
    """Colour errors, (M, 3) uint8: blue too near, white right, red too far; bright enough for a dark photograph."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colors = LinearSegmentedColormap.from_list("error", ERROR_COLORS)
    norm = Normalize(-LARGEST_ERROR, LARGEST_ERROR, clip=True)
    return colors(norm(errors), bytes=True)[:, :3]  # type: ignore[no-any-return, index]


def _logarithmic_scale(
    unit: str, low: float, high: float, labels: Mapping[float, str], colors: Callable[[NDArray[np.float32]], Image]
) -> ColourScale:
    ticks = [(float(100 * np.log(value / low) / np.log(high / low)), label) for value, label in labels.items()]
    return ColourScale(unit, _gradient(colors(np.geomspace(low, high, 17).astype(np.float32))), ticks)


def _gradient(colors: Image) -> str:
    return f"linear-gradient(to right, {', '.join(f'#{bytes(color).hex()}' for color in colors)})"
