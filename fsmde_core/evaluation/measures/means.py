"""Streams means of values by camera or ring edge, means of metrics over images, and percentiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.metrics import MEASURES, Metrics

Parts = dict[str, tuple[float, int]]
"""By camera or ring edge: a sum, and the number of its terms."""


def parts_of(values: Mapping[str, NDArray[np.floating]]) -> Parts:
    """Sum (M,) values by name, and leave out names without any."""
    return {name: (float(terms.sum(dtype=np.float64)), terms.size) for name, terms in values.items() if terms.size}


class Means:
    """Takes the mean of each of `names` over all parts that are added, and the unweighted mean of these means.

    Names with fewer than `least` terms are left out.
    """

    def __init__(self, names: Iterable[str], least: int = 1) -> None:
        self._sums, self._least = dict.fromkeys(names, (0.0, 0)), least

    def add(self, parts: Parts) -> None:
        for name, (total, count) in parts.items():
            before, n = self._sums[name]
            self._sums[name] = (before + total, n + count)

    @property
    def each(self) -> dict[str, float]:
        return {name: total / n for name, (total, n) in self._sums.items() if n >= self._least}

    @property
    def mean(self) -> float:
        """The mean of `each`, which must not be empty."""
        return float(np.mean(list(self.each.values())))

    @property
    def n(self) -> int:
        """The number of the terms of `each`."""
        return sum(n for _, n in self._sums.values() if n >= self._least)

    def document(self, key: str) -> dict[str, Any] | None:
        """Return the means for the result document, `each` under a key; None without terms."""
        return {key: self.each, "mean": self.mean, "n": self.n} if self.n else None


class MetricsMean:
    """Takes the unweighted mean of metrics that are added one by one; n is their sum."""

    def __init__(self) -> None:
        self._sums, self._count, self._n = np.zeros(len(MEASURES)), 0, 0

    def add(self, metrics: Metrics) -> None:
        self._sums += [getattr(metrics, name) for name in MEASURES]
        self._count, self._n = self._count + 1, self._n + metrics.n

    def metrics(self) -> Metrics:
        """Return the mean of one or more."""
        return Metrics(**dict(zip(MEASURES, map(float, self._sums / self._count), strict=True)), n=self._n)


class Percentiles:
    """Counts positive values to half a percent, in a memory that does not grow with their number."""

    STEP = np.log(1.005)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: float) -> None:
        self._counts[round(np.log(value) / self.STEP)] += 1

    def __call__(self, percent: float) -> float:
        """Return the smallest value that at least `percent` of the values do not exceed; NaN of none."""
        wanted = percent / 100 * self._counts.total()
        below = 0
        for step in sorted(self._counts):
            below += self._counts[step]
            if below >= wanted:
                return float(np.exp(step * self.STEP))
        return float("nan")
