"""The error measures of depth estimation (Eigen et al. 2014) on one set of pixels, and their averages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEASURES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")


@dataclass(frozen=True)
class Metrics:
    """With g the true and d the predicted depth: abs_rel = mean |g-d|/g; sq_rel = mean (g-d)^2/g, metres;
    rmse = root mean (g-d)^2, metres; rmse_log = root mean (ln g - ln d)^2; a1, a2, a3 = share of pixels with
    max(g/d, d/g) below 1.25, 1.25^2, 1.25^3. n: number of pixels that were measured.
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    a1: float
    a2: float
    a3: float
    n: int


def depth_metrics(truth: NDArray[np.floating], prediction: NDArray[np.floating]) -> Metrics:
    """Metrics of (M,) true and predicted depths in metres, M >= 1, all positive; computed in float64."""
    g, d = truth.astype(np.float64), prediction.astype(np.float64)
    error = g - d
    ratio = np.maximum(g / d, d / g)
    return Metrics(
        abs_rel=float(np.mean(np.abs(error) / g)),
        sq_rel=float(np.mean(error**2 / g)),
        rmse=float(np.sqrt(np.mean(error**2))),
        rmse_log=float(np.sqrt(np.mean((np.log(g) - np.log(d)) ** 2))),
        a1=float(np.mean(ratio < 1.25)),
        a2=float(np.mean(ratio < 1.25**2)),
        a3=float(np.mean(ratio < 1.25**3)),
        n=g.size,
    )


def average(metrics: Iterable[Metrics]) -> Metrics:
    """Unweighted mean of one or more metrics; n is their sum."""
    metrics = list(metrics)
    means = {name: float(np.mean([getattr(m, name) for m in metrics])) for name in MEASURES}
    return Metrics(**means, n=sum(m.n for m in metrics))
