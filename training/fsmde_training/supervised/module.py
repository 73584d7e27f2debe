"""Supervised training of the student."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from fsmde_core.errors import FsmdeError
from fsmde_training.losses import bin_negative_log_likelihood, log_gradient, relative_error, silog
from fsmde_training.networks.binning import BinDistribution, MetricNetwork
from fsmde_training.networks.checkpoint import find_weights, load_student
from fsmde_training.networks.student import Student

VALIDATION_RANGE = (0.1, 80.0)
WEIGHTS = {"silog": 1.0, "relative": 5.0, "likelihood": 0.5, "edges": 1.0}
RISE = 0.0999
"""Share of the steps over which the learning rate rises; with 0.1, OneCycleLR divides by zero in runs of ten steps."""


@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """M pixels of a batch drawn from the labelled ones; indices (M,) int64 into its maps.

    truth: (M,) canonical metres within the bins, sky at their far end. ground: (M,) bool, False for sky.
    """

    view: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor
    ground: Tensor

    @property
    def cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where the pixels lie in maps of stride 4: view, row, column."""
        return self.view, self.row // 4, self.column // 4

    def on_ground(self) -> LabelledPixels:
        """Those that are not sky."""
        keep = self.ground
        return LabelledPixels(self.view[keep], self.row[keep], self.column[keep], self.truth[keep], keep[keep])


def canonical_target(network: MetricNetwork, batch: dict[str, Tensor]) -> Tensor:
    """(B, H, W) metres at the network's canonical focal length, NaN unknown, inf sky."""
    return batch["depth"] * (network.focal_canonical / batch["focal"])[:, None, None]


def labelled_pixels(network: MetricNetwork, batch: dict[str, Tensor]) -> LabelledPixels:
    """The pixels that a batch of `TrainingViews` names in `pixels`."""
    view, number = torch.nonzero(batch["pixels"] >= 0, as_tuple=True)
    pixel = batch["pixels"][view, number]
    width = batch["depth"].shape[2]
    row, column = pixel // width, pixel % width
    target = canonical_target(network, batch)[view, row, column]
    truth = target.clamp(network.min_depth, network.max_depth)
    return LabelledPixels(view, row, column, truth, torch.isfinite(target))


def supervised_terms(
    network: MetricNetwork, distribution: BinDistribution, batch: dict[str, Tensor], names: Collection[str]
) -> dict[str, Tensor]:
    """Those of the terms in WEIGHTS that are among `names`, unweighted; batch: of `TrainingViews`, seen by the network.

    Labels beyond the bins, sky among them, count as the farthest depth for the likelihood; sky is left out of SILog,
    where one such pixel would outweigh hundreds of near ones.
    """
    depth = network.canonical_depth(distribution)
    labelled = labelled_pixels(network, batch)
    ground = labelled.on_ground()
    depth_at = depth[ground.view, ground.row, ground.column]
    terms: dict[str, Callable[[], Tensor]] = {
        "silog": lambda: silog(depth_at, ground.truth),
        "relative": lambda: relative_error(depth_at, ground.truth),
        "likelihood": lambda: bin_negative_log_likelihood(*distribution.at(*labelled.cells), labelled.truth),
        "edges": lambda: log_gradient(depth, canonical_target(network, batch)),
    }
    return {name: term() for name, term in terms.items() if name in names}


class StudentModule(L.LightningModule):
    """SILog and relative error of the depth, likelihood of the truth under the bins, matching of depth edges.

    encoder_weights: ImageNet weights, an .npz file. start: a checkpoint whose weights to begin with; unlike --ckpt_path
    it brings neither optimizer nor schedule.
    learning_rate: of decoder and bins; the encoder's is `encoder_rate` times that.
    weights: of the terms by name, WEIGHTS unless given; a term without weight is left out.
    """

    def __init__(
        self,
        student: Student,
        encoder_weights: Path | None = None,
        start: Path | None = None,
        learning_rate: float = 1e-3,
        encoder_rate: float = 0.2,
        weight_decay: float = 0.01,
        weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"architecture": student.architecture})
        self.student = student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning_rate, self.encoder_rate, self.weight_decay = learning_rate, encoder_rate, weight_decay
        self.weights = weighted_terms(WEIGHTS if weights is None else weights, WEIGHTS)
        if encoder_weights is not None:
            self.student.encoder.load_imagenet(find_weights(encoder_weights))
        if start is not None:
            self.student.load_state_dict(load_student(start).state_dict())
        self.abs_rel: dict[str, MeanMetric] = {}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms that have a weight, unweighted, of a batch of `TrainingViews`."""
        return supervised_terms(self.student, self.student.distribution(batch["images"]), batch, self.weights)

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        terms = self.losses(batch)
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def on_validation_epoch_start(self) -> None:
        names = [*self.trainer.datamodule.validation, "abs_rel"]  # type: ignore[attr-defined]
        self.abs_rel = {name: MeanMetric().to(self.device) for name in names}

    def validation_step(self, batch: dict[str, Tensor], _: int, dataloader_idx: int = 0) -> None:
        """Mean AbsRel over images, per set and over all of them: depth as it is, 0.1 to 80 m, at the network's size."""
        low, high = VALIDATION_RANGE
        name = self.trainer.datamodule.validation[dataloader_idx]  # type: ignore[attr-defined]
        depth, _sigma = self.student(batch["images"], batch["focal"])
        for predicted, truth in zip(depth.clamp(low, high), batch["depth"], strict=True):
            valid = (truth > low) & (truth < high)
            if valid.any():
                abs_rel = ((predicted - truth).abs() / truth)[valid].mean()
                self.abs_rel[name].update(abs_rel)
                self.abs_rel["abs_rel"].update(abs_rel)

    def on_validation_epoch_end(self) -> None:
        """Means over the images of all processes: the metrics gather them."""
        for name, metric in self.abs_rel.items():
            self.log(f"val/{name}", metric.compute(), prog_bar=name == "abs_rel", sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the architecture, the size of the network's input: what an export takes unless told otherwise."""
        checkpoint["hyper_parameters"]["size"] = list(self.trainer.datamodule.network_size)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> Any:
        encoder = list(self.student.encoder.parameters())
        named = ((name, value) for name, value in self.named_parameters() if value.requires_grad)
        rest = [value for name, value in named if not name.startswith("student.encoder.")]
        rates = [self.learning_rate * self.encoder_rate, self.learning_rate]
        groups = [{"params": group, "lr": rate} for group, rate in zip((encoder, rest), rates, strict=True)]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=RISE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def weighted_terms(weights: dict[str, float], known: Iterable[str]) -> dict[str, float]:
    """`weights` without those that are 0; FsmdeError where a name is not among `known`."""
    if unknown := sorted(set(weights) - set(known)):
        raise FsmdeError(f"weights name the terms {unknown}, expected among {', '.join(known)}; change model.weights")
    return {name: weight for name, weight in weights.items() if weight}
