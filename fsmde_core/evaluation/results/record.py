"""Holds what one frame contributes to an evaluation: sums, counts and histograms, so that results stream."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.breakdown import sums_by_part
from fsmde_core.evaluation.measures.means import Parts
from fsmde_core.evaluation.measures.metrics import error_sums
from fsmde_core.evaluation.measures.pixels import Pixels
from fsmde_core.evaluation.measures.uncertainty import SigmaSums, sigma_sums
from fsmde_core.evaluation.predictors.predictors import MODEL


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """Holds what was measured of one image of one predictor.

    sums: (bands, thirds, TERMS) sums of `metrics.error_sums`; a baseline has one band and one third.
    sigma: calibration of sigma; None for a predictor without it.
    """

    sums: NDArray[np.float64]
    sigma: SigmaSums | None = None

    @classmethod
    def of(cls, pixels: Pixels, predictor: str, cap_m: float) -> ImageRecord:
        # of the scaled pixels of one image; in parts if the predictor is the model
        if predictor == MODEL:
            return cls(sums_by_part(pixels, cap_m), sigma_sums(pixels))
        return cls(error_sums(pixels.truth, pixels.depth)[None])


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """Holds one frame. stamps_ns: of its images, by camera. sampled: whether it has truth; the rest is empty if not.

    images: predictor -> camera -> what was measured; or the pixels themselves where the protocol scales several images
    by one median. consistency, overlap: by ring edge; steadiness: by camera; interval_s: to the frame that it
    compares with. latency_ms: of the model.
    """

    index: int
    stamps_ns: Mapping[str, int]
    sampled: bool
    images: Mapping[str, Mapping[str, ImageRecord | Pixels]] = field(default_factory=dict)
    consistency: Parts = field(default_factory=dict)
    overlap: Parts = field(default_factory=dict)
    steadiness: Parts = field(default_factory=dict)
    interval_s: float | None = None
    latency_ms: float | None = None

    def to_json(self) -> str:
        """Return one line, of which `from_json` makes the same record to the last digit."""
        entry = {name: value for name, value in self.__dict__.items() if name != "images"}
        entry["images"] = {
            predictor: {camera: _image_entry(image) for camera, image in cameras.items()}
            for predictor, cameras in self.images.items()
        }
        return json.dumps(entry, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> FrameRecord:
        """Restore what `to_json` wrote."""
        entry = json.loads(line)
        for name in ("consistency", "overlap", "steadiness"):
            entry[name] = {key: (total, count) for key, (total, count) in entry[name].items()}
        entry["images"] = {
            predictor: {camera: _image(image) for camera, image in cameras.items()}
            for predictor, cameras in entry["images"].items()
        }
        return cls(**entry)


def _image_entry(image: ImageRecord | Pixels) -> dict[str, Any]:
    if isinstance(image, Pixels):
        return {name: _encode(values) for name, values in image.__dict__.items()}
    return {"sums": image.sums.tolist(), "sigma": None if image.sigma is None else image.sigma.to_lists()}


def _image(entry: dict[str, Any]) -> ImageRecord | Pixels:
    if "truth" in entry:
        truth, depth, sigma = (_decode(entry[name], np.float32) for name in ("truth", "depth", "sigma"))
        return Pixels(truth, depth, sigma, _decode(entry["third"], np.uint8))
    sigma = None if entry["sigma"] is None else SigmaSums.from_lists(entry["sigma"])
    return ImageRecord(np.array(entry["sums"], np.float64), sigma)


def _encode(values: NDArray[Any] | None) -> str | None:
    return None if values is None else base64.b64encode(zlib.compress(values.tobytes(), 1)).decode()


def _decode(text: str | None, dtype: Any) -> Any:
    return None if text is None else np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)
