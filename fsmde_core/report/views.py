"""Pictures of one camera's depth in colour and against lidar, each an (H, W, 3) uint8 RGB image, and their scales."""

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
    """A colour bar: a CSS gradient, and ticks as (percent of its length, label)."""

    unit: str
    gradient: str
    ticks: Sequence[tuple[float, str]]


def depth_scale() -> ColourScale:
    labels = [str(tick) for tick in DEPTH_TICKS_M[:-1]] + [f"{DEPTH_TICKS_M[-1]}+"]
    return _logarithmic_scale("metres", NEAR_M, FAR_M, dict(zip(DEPTH_TICKS_M, labels, strict=True)), depth_rgb)


def sigma_scale() -> ColourScale:
    labels = {0.1: "≤ 0.1", 0.3: "0.3", 1.0: "1", 3.0: "3", 10.0: "10+"}
    return _logarithmic_scale("metres", SURE_M, UNSURE_M, labels, sigma_rgb)


def error_scale() -> ColourScale:
    errors = np.linspace(-LARGEST_ERROR, LARGEST_ERROR, 17)
    labels = (f"≤ {MINUS}50", f"{MINUS}25", "0", "+25", "≥ +50")
    unit = "% of the true depth: blue too near, red too far"
    return ColourScale(unit, _gradient(_error_rgb(errors)), [(25.0 * i, label) for i, label in enumerate(labels)])


def data_uri(image: Image) -> str:
    """The image as a JPEG inside a URI."""
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def depth_view(depth: NDArray[np.float32], size: tuple[int, int]) -> Image:
    """depth (h, w) metres in colour at `size` (width, height)."""
    return depth_rgb(cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR))  # type: ignore[arg-type]


def sigma_view(sigma: NDArray[np.float32], size: tuple[int, int]) -> Image:
    """sigma (h, w) metres in colour at `size` (width, height)."""
    return sigma_rgb(cv2.resize(sigma, size, interpolation=cv2.INTER_LINEAR))  # type: ignore[arg-type]


def error_view(rgb: Image, truth: SparseDepth, depth: NDArray[np.float32]) -> Image:
    """Signed relative errors as dots on the dimmed photograph, near points over far ones.

    truth: M pixels of the same view at any size. depth: (M,) float32 metres predicted there.
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
    """(M, 3) uint8: blue for too near, white for right, red for too far; bright enough for a dark photograph."""
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
