"""Computes the error measures of depth estimation (Eigen et al. 2014) from sums over pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.loops import add_errors

DEFAULT_CAP_M = 80.0
MEASURES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
TERMS = len(MEASURES) + 1
"""Numbers per pixel that are summed: those of the measures in their order (squares for the roots), and 1."""


@dataclass(frozen=True)
class Metrics:
    """Holds the measures of n pixels with true depth g and predicted depth d.

    abs_rel = mean |g-d|/g; sq_rel = mean (g-d)^2/g, metres; rmse = root mean (g-d)^2, metres; rmse_log = root mean
    (ln g - ln d)^2; a1, a2, a3 = fraction with max(g/d, d/g) below 1.25, 1.25^2, 1.25^3.
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    a1: float
    a2: float
    a3: float
    n: int

    @classmethod
    def of(cls, sums: NDArray[np.float64]) -> Metrics:
        """Compute the measures from (TERMS,) sums over one or more pixels."""
        *means, n = sums / np.append(np.full(TERMS - 1, sums[-1]), 1.0)
        abs_rel, sq_rel, squared, squared_log, a1, a2, a3 = map(float, means)
        return cls(abs_rel, sq_rel, squared**0.5, squared_log**0.5, a1, a2, a3, int(n))


def error_sums(
    truth: NDArray[np.floating], prediction: NDArray[np.floating], cell: NDArray[np.int64] | None = None, cells: int = 1
) -> NDArray[np.float64]:
    # (cells, TERMS) of (M,) depths in metres, all positive; cell: (M,) which sum a pixel belongs to, None for the first
    g, d = truth.astype(np.float64), prediction.astype(np.float64)
    ratio = np.maximum(g / d, d / g)
    sums = np.zeros((cells, TERMS))
    add_errors(g, d, ratio, np.log(ratio), np.zeros(g.size, np.int64) if cell is None else cell, sums)
    return sums


def depth_metrics(truth: NDArray[np.floating], prediction: NDArray[np.floating]) -> Metrics:
    """Compute the measures of some pixels, in float64.

    Args:
        truth, prediction: (M,) depths in metres, M >= 1, all positive.

    Returns:
        The measures.
    """
    return Metrics.of(error_sums(truth, prediction)[0])


def average(metrics: Iterable[Metrics]) -> Metrics:
    """Take the unweighted mean of one or more metrics; n is their sum."""
    metrics = list(metrics)
    means = {name: float(np.mean([getattr(m, name) for m in metrics])) for name in MEASURES}
    return Metrics(**means, n=sum(m.n for m in metrics))
