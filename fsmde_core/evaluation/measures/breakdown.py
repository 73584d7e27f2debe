"""Sums the errors of an image by range band and by third of the image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.loops import find_bands
from fsmde_core.evaluation.measures.metrics import error_sums
from fsmde_core.evaluation.measures.pixels import Pixels

EDGES_M = (0.0, 10.0, 20.0, 40.0, 80.0, 200.0)
THIRDS = ("top", "middle", "bottom")


def band_edges(cap_m: float) -> list[float]:
    """Return the bands' edges in metres of true depth: EDGES_M up to the cap, and the cap."""
    return [edge for edge in EDGES_M if edge < cap_m] + [cap_m]


def band_names(cap_m: float) -> list[str]:
    """Name the bands 0-10, 10-20, ... up to the cap."""
    return [f"{near:g}-{far:g}" for near, far in pairwise(band_edges(cap_m))]


def sums_by_part(pixels: Pixels, cap_m: float) -> NDArray[np.float64]:
    # (bands, thirds, TERMS); a band holds its near edge
    edges = band_edges(cap_m)
    band = np.empty(pixels.truth.size, np.int64)
    find_bands(pixels.truth, np.array(edges[1:-1], np.float32), band)
    parts = (len(edges) - 1, len(THIRDS))
    sums = error_sums(pixels.truth, pixels.depth, band * len(THIRDS) + pixels.third, parts[0] * parts[1])
    return sums.reshape(*parts, -1)
