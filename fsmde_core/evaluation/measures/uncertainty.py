"""Measures how often the truth lies within sigma, and whether errors are where it is large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.loops import add_to_bins
from fsmde_core.evaluation.measures.pixels import Pixels

BINS = 256
LOWEST, HIGHEST = 1e-4, 1e2
"""Range of the histograms' logarithmic bins, in units of depth; what lies beyond falls into the outermost."""
REMOVED = np.linspace(0, 0.95, 20)
"""Fractions of the pixels that the sparsification curve leaves out."""


@dataclass(frozen=True, eq=False)
class SigmaSums:
    """Sums up sigma over any set of pixels. within: (2,) how many have |g - d| <= 1 and 2 sigma.

    by_sigma, by_error: (2, BINS) number of pixels and sum of |g - d| / g, by sigma / d and by |g - d| / g.
    """

    within: NDArray[np.float64]
    by_sigma: NDArray[np.float64]
    by_error: NDArray[np.float64]

    @classmethod
    def zeros(cls) -> SigmaSums:
        return cls(np.zeros(2), np.zeros((2, BINS)), np.zeros((2, BINS)))

    def __add__(self, other: SigmaSums) -> SigmaSums:
        return SigmaSums(self.within + other.within, self.by_sigma + other.by_sigma, self.by_error + other.by_error)

    def to_lists(self) -> list[Any]:
        """Return what JSON can hold, and of the histograms only the bins that are not empty."""
        return [self.within.tolist(), *(_sparse_bins(histogram) for histogram in (self.by_sigma, self.by_error))]

    @classmethod
    def from_lists(cls, entry: list[Any]) -> SigmaSums:
        """Restore what `to_lists` returned."""
        within, *histograms = entry
        return cls(np.array(within, np.float64), *(_dense_bins(columns) for columns in histograms))

    def document(self) -> dict[str, Any] | None:
        """Return coverage, n, sparsification and ause of the result document; None without a pixel.

        Sparsification (Ilg et al. 2018): AbsRel of what remains when the pixels with the largest sigma / d are left
        out; `oracle` leaves out the largest errors instead, `random` any. ause: mean distance of the curve from the
        oracle's over the fractions removed, in AbsRel. Pixels of one bin (width 5 %) count as equal.
        """
        n = self.by_sigma[0].sum()
        if not n:
            return None
        curve, oracle = (_sparsification(histogram) for histogram in (self.by_sigma, self.by_error))
        distance = curve - oracle
        return {
            "coverage": {str(k + 1): float(count / n) for k, count in enumerate(self.within)},
            "n": int(n),
            "sparsification": {
                "removed": REMOVED.round(2).tolist(),
                "abs_rel": curve.tolist(),
                "oracle": oracle.tolist(),
                "random": float(self.by_sigma[1].sum() / n),
            },
            "ause": float(((distance[1:] + distance[:-1]) / 2).mean()),
        }


def sigma_sums(pixels: Pixels) -> SigmaSums | None:
    """Sum up sigma over measured pixels; None where the predictor has no sigma."""
    if pixels.sigma is None:
        return None
    truth, depth, sigma = (values.astype(np.float64) for values in (pixels.truth, pixels.depth, pixels.sigma))
    error = np.abs(truth - depth)
    within = np.array([np.count_nonzero(error <= k * sigma) for k in (1, 2)], np.float64)
    relative = error / truth
    return SigmaSums(within, _histogram(sigma / depth, relative), _histogram(relative, relative))


def _histogram(key: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, BINS): number of pixels and sum of their `error` by `key`, smallest first."""
    histogram = np.zeros((2, BINS))
    add_to_bins(np.log(np.maximum(key, LOWEST) / LOWEST) * (BINS / np.log(HIGHEST / LOWEST)), error, histogram)
    return histogram


def _sparsification(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean errors (20,) of the fractions 1 - REMOVED of pixels with the smallest key."""
    count, error = (np.concatenate([[0.0], np.cumsum(values)]) for values in histogram)
    kept = (1 - REMOVED) * count[-1]
    return np.interp(kept, count, error) / kept


def _sparse_bins(histogram: NDArray[np.float64]) -> list[list[float]]:
    bins = np.flatnonzero(histogram[0])
    return [bins.tolist(), *histogram[:, bins].tolist()]


def _dense_bins(columns: list[list[float]]) -> NDArray[np.float64]:
    bins, *values = columns
    histogram = np.zeros((2, BINS))
    histogram[:, np.array(bins, np.int64)] = values
    return histogram
