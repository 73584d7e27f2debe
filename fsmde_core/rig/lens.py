"""Describes lenses by their distortion: the models, the names and lengths people give them, and where they turn back.

A polynomial that was fitted to the middle of a picture may turn back farther out: two directions then share a pixel,
and beyond the first such angle the model says nothing about the lens.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike, NDArray

from fsmde_core.errors import FsmdeError

# Numbers of coefficients that OpenCV computes with, by the model's name in sensor_msgs/CameraInfo.
DISTORTION_SIZES = MappingProxyType(
    {"plumb_bob": (0, 4, 5), "rational_polynomial": (0, 4, 5, 8, 12, 14), "equidistant": (0, 4)}
)
INFO_SIZES = MappingProxyType({"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4})
"""The least that a CameraInfo holds of each model."""

_NO_DISTORTION = ("", "none", "pinhole", "perspective")
_ALIASES = MappingProxyType(
    dict.fromkeys(("radtan", "radial_tangential", "brown_conrady"), "plumb_bob")
    | dict.fromkeys(("rational",), "rational_polynomial")
    | dict.fromkeys(("fisheye", "opencv_fisheye", "kannala_brandt", "kannala_brandt4", "kb4", "equi"), "equidistant")
)
_LARGEST = 1e6
"""Coefficients beyond it are no calibration, and overflow in computations."""
_NEVER = 1e-9
"""Inverse of a squared radius in focal lengths, or of a squared angle, that no picture reaches."""


def standard_distortion(model: str, D: ArrayLike) -> tuple[str, NDArray[np.float64]]:
    """Bring a lens model to the name and the number of coefficients that the rest computes with.

    `plumb_bob` with more than five coefficients is `rational_polynomial`, as for OpenCV; zeros behind the coefficients
    that a model takes are left out.

    Args:
        model: Of sensor_msgs/CameraInfo, or another name that people use for the same.
        D: Coefficients, in OpenCV's order.

    Returns:
        One of DISTORTION_SIZES, and as many coefficients as it takes.

    Raises:
        FsmdeError: The model is unknown, or takes no such coefficients.
    """
    values = np.asarray(D, dtype=np.float64).reshape(-1)
    name = model.strip().lower().replace("-", "_").replace(" ", "_")
    name = _ALIASES.get(name, name)
    if not np.all(np.abs(values) <= _LARGEST):  # NaN compares False
        raise FsmdeError(f"distortion coefficients must be finite values up to {_LARGEST:g}, D is {values.tolist()}")
    if name in _NO_DISTORTION and not values.any():
        return "plumb_bob", values[:0]
    if name in _NO_DISTORTION:
        raise FsmdeError(
            f"distortion model '{model}' takes no coefficients, D is {values.tolist()}; name the lens model"
        )
    if name == "plumb_bob" and values[5:].any():
        name = "rational_polynomial"
    if name not in DISTORTION_SIZES:
        raise FsmdeError(f"distortion model '{model}' is not in {list(DISTORTION_SIZES)}; calibrate with one of these")
    sizes = DISTORTION_SIZES[name]
    size = max((size for size in sizes if size <= values.size and not values[size:].any()), default=0)
    if not size and values.size:
        raise FsmdeError(f"{name} takes {sizes} finite values, D is {values.tolist()}")
    return name, values[:size]


def is_pinhole(model: str, D: NDArray[np.float64]) -> bool:
    """Tell whether a lens leaves straight lines straight; an equidistant one never does.

    Args:
        model: A standard one.
        D: Its coefficients.

    Returns:
        True where nothing is to be undone.
    """
    return model != "equidistant" and not D.any()


@lru_cache(maxsize=64)
def turning_angle(model: str, D: tuple[float, ...]) -> float:
    """Compute at which angle from the optical axis a lens model turns back, or has a pole.

    Args:
        model: A standard one.
        D: Its coefficients.

    Returns:
        Radians, pi/2 or more where no picture of a pinhole reaches it.
    """
    if model == "equidistant":  # radius = angle + k1 angle^3 + ...; its slope by the square of the angle
        return float(np.sqrt(_first_fall([1, *(k * (2 * i + 3) for i, k in enumerate(D))])))
    k1, k2, _, _, k3, k4, k5, k6 = (*D, *[0.0] * 8)[:8]
    above, below, square = Polynomial([1, k1, k2, k3]), Polynomial([1, k4, k5, k6]), Polynomial([0, 1])
    # radius = r above(r^2) / below(r^2); its slope times below^2
    slope = (above + 2 * square * above.deriv()) * below - 2 * square * above * below.deriv()
    return float(np.arctan(np.sqrt(min(_first_fall(slope.coef), _first_fall(below.coef)))))


def _first_fall(coefficients: ArrayLike) -> float:
    """Find the first positive number at which a polynomial, 1 at zero, falls below zero; infinity where that is far.

    coefficients: of ascending powers.
    """
    ascending = np.asarray(coefficients, np.float64)
    # Taken as one of 1/x, the polynomial begins with the 1: small zeros are exact whatever the last coefficient is.
    inverses = np.roots(ascending)
    inverses = inverses[(inverses.real > _NEVER) & (np.abs(inverses.imag) < 1e-6 * np.abs(inverses))].real
    zeros = np.append(np.sort(1 / inverses), np.inf)
    for zero, following in pairwise(zeros):
        # Where it only touches zero, or a pair of complex roots passes for real ones, the sign stays.
        between = (zero + following) / 2 if np.isfinite(following) else 2 * zero
        if np.polyval(ascending[::-1], between) < 0:
            return float(zero)
    return float("inf")
