"""Measures how far a reduced precision is from the float32 file: on the engines' self-check, and on lidar."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine, open_session
from fsmde_core.engines.self_check import Deviation, deviation, reference
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.protocols.surrounddepth import SurroundDepthProtocol
from fsmde_training.sets.cache import TrainingSet

CAMERAS = 6


class AccuracyCost(NamedTuple):
    """Compares AbsRel of the float32 file and of the reduced precision, unscaled, up to 80 m, over `images` images."""

    float32: float
    reduced: float
    images: int

    @property
    def relative(self) -> float:
        """The increase of AbsRel relative to the float32 file's."""
        return self.reduced / self.float32 - 1


def compare(path: Path, reduced: Path) -> Deviation:
    engine = OnnxRuntimeEngine(read_model_info(reduced))
    try:
        return deviation(engine, reference(read_model_info(path), CAMERAS))
    finally:
        engine.close()


def accuracy_cost(path: Path, reduced: Path, labelled: TrainingSet) -> AccuracyCost:
    protocol = SurroundDepthProtocol()
    sums = np.zeros(2)
    count = 0
    sessions = [open_session(file, 0) for file in (path, reduced)]
    for image, depth, focal in zip(labelled.images, labelled.depth, labelled.focal, strict=True):
        feeds = {"images": image[None], "focal": np.array([focal], np.float32)}
        truth = depth.astype(np.float32)
        found = [protocol.measure(truth, np.asarray(session.run(["depth"], feeds)[0])[0]) for session in sessions]
        if found[0] is not None and found[1] is not None:
            sums += [metrics.abs_rel for metrics in found if metrics is not None]
            count += 1
    if not count:
        raise FsmdeError(f"none of {len(labelled)} held-out images has depth below 80 m; calibrate with labelled data")
    return AccuracyCost(sums[0] / count, sums[1] / count, count)
