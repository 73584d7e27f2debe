"""Opens what students are measured on: recordings and streets that no training has seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from fsmde_core.evaluation.measures.pixels import SparseDepth
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_core.frames import Frame
from fsmde_core.lidar.projection import ImagePoints
from fsmde_core.sources import open_source
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.source import IndexedSource, Source
from fsmde_core.sources.synthetic import SyntheticStreet
from fsmde_training.sets.prepare import FIRST_SEED, FIRST_VALIDATION_FRAME
from fsmde_training.sets.streets import random_rig

TITLES = {"pandaset": "PandaSet 40-49", "nuscenes": "nuScenes", "ddad": "DDAD", "streets": "held-out streets"}


class HeldOutStreets(IndexedSource):
    """Gives one frame of each of `count` synthetic streets, every one with a random rig of (width, height) cameras.

    Seeds are neither those of training nor of validation. Frames are rendered once per process.
    """

    name = "streets"

    def __init__(self, count: int, width: int, height: int) -> None:
        self._count, self._size = count, (width, height)
        self.rig = self.frame(0).rig

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Frame:
        return _render(3 * FIRST_SEED + index, *self._size)


@cache
def _render(seed: int, width: int, height: int) -> Frame:
    rig = random_rig(np.random.default_rng((seed, 1)), width, height)
    return SyntheticStreet(seed, frames=1, rig=rig).frame(0)


@dataclass(frozen=True)
class ExactDepthProtocol(SurroundDepthProtocol):
    """Measures as protocol A, with every pixel's exact depth but the sky's as the truth, in place of lidar."""

    name: str = "exact"

    def truth(self, frame: Frame, camera_name: str, seen: ImagePoints | None = None) -> SparseDepth:
        return self.measured(SparseDepth.from_map(frame.depth[camera_name]))


@dataclass(frozen=True)
class HeldOutSet:
    """Holds an evaluation set: frames `span` of a source, and the protocol."""

    source: Source
    protocol: EvaluationProtocol
    span: tuple[int, int | None] = (0, None)


def open_set(name: str, streets: int, size: tuple[int, int]) -> HeldOutSet:
    """Open an evaluation set.

    Args:
        name: One of TITLES.
        streets: The number of synthetic streets.
        size: The (width, height) of their cameras, pixels.

    Returns:
        The set, without frames that training sees.
    """
    if name == "streets":
        return HeldOutSet(HeldOutStreets(streets, *size), ExactDepthProtocol())
    source = open_source(name)
    first = 0
    if isinstance(source, PandaSetSource):
        first = sum(number < FIRST_VALIDATION_FRAME for number in source.numbers)
    return HeldOutSet(source, make_protocol("surrounddepth", source.name), (first, None))
