"""Means that stream: of values by camera or ring edge, of metrics over images, and percentiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.metrics import MEASURES, Metrics

Parts = dict[str, tuple[float, int]]
"""By camera or ring edge: a sum, and the number of its terms."""


def parts_of(values: Mapping[str, NDArray[np.floating]]) -> Parts:
    """Of (M,) values by name; names without any are left out."""
    return {name: (float(some.sum(dtype=np.float64)), some.size) for name, some in values.items() if some.size}


class Means:
    """The mean of each of `names` over all parts that were added, and the unweighted mean of these means.

    Names with fewer than `least` terms are left out.
    """

    def __init__(self, names: Iterable[str], least: int = 1) -> None:
        self._sums, self._least = dict.fromkeys(names, (0.0, 0)), least

    def add(self, parts: Parts) -> None:
        """One frame's."""
        for name, (total, count) in parts.items():
            before, n = self._sums[name]
            self._sums[name] = (before + total, n + count)

    @property
    def each(self) -> dict[str, float]:
        """By name."""
        return {name: total / n for name, (total, n) in self._sums.items() if n >= self._least}

    @property
    def mean(self) -> float:
        """Of `each`, which must not be empty."""
        return float(np.mean(list(self.each.values())))

    @property
    def n(self) -> int:
        """Number of the terms of `each`."""
        return sum(n for _, n in self._sums.values() if n >= self._least)


class MetricsMean:
    """Unweighted mean of metrics, n their sum; one by one."""

    def __init__(self) -> None:
        self._sums, self._count, self._n = np.zeros(len(MEASURES)), 0, 0

    def add(self, metrics: Metrics) -> None:
        """Those of one image or batch."""
        self._sums += [getattr(metrics, name) for name in MEASURES]
        self._count, self._n = self._count + 1, self._n + metrics.n

    def metrics(self) -> Metrics | None:
        """None before the first."""
        if not self._count:
            return None
        return Metrics(**dict(zip(MEASURES, map(float, self._sums / self._count), strict=True)), n=self._n)


class Percentiles:
    """Percentiles of positive values to half a percent, in a memory that does not grow with their number."""

    STEP = np.log(1.005)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """One value."""
        self._counts[round(np.log(value) / self.STEP)] += 1

    def __call__(self, percent: float) -> float:
        """The smallest value that at least `percent` of the values do not exceed; NaN of none."""
        wanted = percent / 100 * self._counts.total()
        below = 0
        for step in sorted(self._counts):
            below += self._counts[step]
            if below >= wanted:
                return float(np.exp(step * self.STEP))
        return float("nan")
