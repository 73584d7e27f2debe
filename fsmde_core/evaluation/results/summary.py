"""Sums up records of frames for the result document, in a memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmde_core.evaluation.measures.breakdown import THIRDS, band_names
from fsmde_core.evaluation.measures.consistency import LEAST_POINTS
from fsmde_core.evaluation.measures.means import Means, MetricsMean, Percentiles
from fsmde_core.evaluation.measures.metrics import TERMS, Metrics, average
from fsmde_core.evaluation.measures.pixels import Pixels, concatenate
from fsmde_core.evaluation.measures.uncertainty import SigmaSums
from fsmde_core.evaluation.predictors.predictors import MODEL
from fsmde_core.evaluation.protocols.protocol import EvaluationProtocol
from fsmde_core.evaluation.results.record import FrameRecord, ImageRecord
from fsmde_core.rig.rig import Rig

SHOWN = 4
"""Number of best and of worst images that are named."""
WHOLE = ""
"""Name of the region that is the whole image at all depths."""


@dataclass(frozen=True)
class Scores:
    """Holds one predictor's numbers: per camera in ring order, and their unweighted mean."""

    cameras: dict[str, Metrics]
    mean: Metrics

    def document(self) -> dict[str, Any]:
        return {"cameras": {name: asdict(m) for name, m in self.cameras.items()}, "mean": asdict(self.mean)}


class _Extreme(NamedTuple):
    abs_rel: float
    frame: int
    camera: str
    stamp_ns: int
    n: int

    def document(self) -> dict[str, Any]:
        return {key: self._asdict()[key] for key in ("frame", "stamp_ns", "camera", "abs_rel", "n")}


class Summary:
    """Takes records in the order of frames; equal records make an equal `document` to the last digit.

    rig: of the recording; its names and edges order the results. notes: of samples left out, known after `finish`.
    """

    def __init__(self, protocol: EvaluationProtocol, rig: Rig) -> None:
        self._protocol, self._names = protocol, rig.names
        self._batch: list[FrameRecord] = []
        self._batches = 0
        self._regions: dict[str, dict[str, dict[str, MetricsMean]]] = {}  # predictor -> region -> camera
        edges = ["/".join(edge) for edge in rig.edges]
        self._consistency, self._steadiness = Means(edges, LEAST_POINTS), Means(rig.names)
        self._overlap = Means(edges, LEAST_POINTS)
        self._intervals, self._latency = Means(["s"]), Percentiles()
        self._sigma = SigmaSums.zeros()
        self._best: list[_Extreme] = []
        self._worst: list[_Extreme] = []
        self.notes: list[str] = []
        self.frames = self.samples = 0

    def add(self, record: FrameRecord) -> None:
        self.frames += 1
        if not record.sampled:
            return
        self._batch.append(record)
        if len(self._batch) == self._protocol.batch:
            self._close_batch()

    def _close_batch(self) -> None:
        """Pool the images of each camera over the batch; all else is taken from each sample by itself."""
        for record in self._batch:
            self._add_sample(record)
        for predictor in self._batch[0].images:
            for camera in self._names:
                images = [(r, r.images[predictor][camera]) for r in self._batch if camera in r.images[predictor]]
                if images:
                    self._add_images(predictor, camera, images)
        self._batch.clear()
        self._batches += 1

    def _add_sample(self, record: FrameRecord) -> None:
        self.samples += 1
        self._consistency.add(dict(record.consistency))
        self._overlap.add(dict(record.overlap))
        self._steadiness.add(dict(record.steadiness))
        if record.interval_s is not None:
            self._intervals.add({"s": (record.interval_s, 1)})
        if record.latency_ms is not None:
            self._latency.add(record.latency_ms)

    def _add_images(self, predictor: str, camera: str, batch: list[tuple[FrameRecord, ImageRecord | Pixels]]) -> None:
        images = self._measured(predictor, [image for _, image in batch])
        for region, sums in _regions(np.sum([image.sums for image in images], axis=0), self._protocol.cap_m).items():
            if sums[-1]:
                cameras = self._regions.setdefault(predictor, {}).setdefault(region, {})
                cameras.setdefault(camera, MetricsMean()).add(Metrics.of(sums))
        if predictor == MODEL:
            for (record, _), image in zip(batch, images, strict=True):
                self._add_model_image(record, camera, image)

    def _measured(self, predictor: str, images: list[ImageRecord | Pixels]) -> list[ImageRecord]:
        pixels = [image for image in images if isinstance(image, Pixels)]
        if not pixels:
            return [image for image in images if isinstance(image, ImageRecord)]
        ratio = self._protocol.ratio(concatenate(pixels))
        return [ImageRecord.of(self._protocol.scaled(p, ratio), predictor, self._protocol.cap_m) for p in pixels]

    def _add_model_image(self, record: FrameRecord, camera: str, image: ImageRecord) -> None:
        if image.sigma is not None:
            self._sigma += image.sigma
        metrics = Metrics.of(image.sums.sum(axis=(0, 1)))
        extreme = _Extreme(metrics.abs_rel, record.index, camera, record.stamps_ns[camera], metrics.n)
        self._best = sorted([*self._best, extreme])[:SHOWN]
        self._worst = sorted([*self._worst, extreme], key=lambda e: (-e.abs_rel, e.frame, e.camera))[:SHOWN]

    def finish(self) -> None:
        """Close the last batch, or leave it out with a note where the protocol does so."""
        remaining = len(self._batch)
        if remaining and self._batches:
            self._batch.clear()
            self.notes.append(
                f"protocol {self._protocol.name} leaves out the last {remaining} samples, "
                f"which do not fill a batch of {self._protocol.batch}"
            )
        elif remaining:
            self._close_batch()

    @property
    def scores(self) -> dict[str, Scores]:
        """The scores by predictor, without those that had nothing to measure."""
        return {name: self._scores(regions[WHOLE]) for name, regions in self._regions.items()}

    def _scores(self, cameras: Mapping[str, MetricsMean]) -> Scores:
        means = {name: cameras[name].metrics() for name in self._names if name in cameras}
        return Scores(means, average(means.values()))

    def document(self) -> dict[str, Any]:
        """Return the result document's keys that come from records; `finish` comes first.

        Without a score there are only the counts, no camera, and None for the mean.
        """
        scores = self.scores
        counted = {"frames": self.frames, "samples": self.samples}
        if not scores:
            return {**counted, "cameras": {}, "mean": None, "baselines": {}}
        regions = {name: self._scores(cameras).document() for name, cameras in self._regions[MODEL].items()}
        bands = [name for name in band_names(self._protocol.cap_m) if name in regions]
        steadiness = self._steadiness.document("cameras")
        return {
            **counted,
            **scores[MODEL].document(),
            "latency_ms": {f"p{percent}": self._latency(percent) for percent in (50, 95, 99)},
            "baselines": {name: baseline.document() for name, baseline in scores.items() if name != MODEL},
            "bands": {name: regions[name] for name in bands},
            "thirds": {name: regions[name] for name in reversed(THIRDS) if name in regions},
            "sigma": self._sigma.document(),
            "consistency": {"lidar": self._consistency.document("edges"), "overlap": self._overlap.document("edges")},
            "steadiness": steadiness and {**steadiness, "interval_s": self._intervals.mean},
            "extremes": {
                "best": [extreme.document() for extreme in self._best],
                "worst": [extreme.document() for extreme in self._worst],
            },
        }


def _regions(sums: NDArray[np.float64], cap_m: float) -> dict[str, NDArray[np.float64]]:
    """Add (bands, thirds, TERMS) sums up to (TERMS,) of the whole and, if there are parts, of each band and third."""
    regions = {WHOLE: sums.reshape(-1, TERMS).sum(axis=0)}
    if sums.shape[1] > 1:
        regions |= dict(zip(band_names(cap_m), sums.sum(axis=1), strict=True))
        regions |= dict(zip(THIRDS, sums.sum(axis=0), strict=True))
    return regions
