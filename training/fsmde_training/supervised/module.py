"""Trains the student on labelled views."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from fsmde_core.errors import FsmdeError
from fsmde_training.losses import bin_negative_log_likelihood, log_gradient, relative_error, silog
from fsmde_training.networks.binning import BinDistribution, MetricDepthNetwork
from fsmde_training.networks.checkpoint import find_weights, load_student
from fsmde_training.networks.student import Student
from fsmde_training.teachers import ProjectTeacher

VALIDATION_RANGE = (0.1, 80.0)
WEIGHTS = {"silog": 1.0, "relative": 5.0, "likelihood": 0.5, "edges": 1.0}
RISE = 0.0999
"""Share of the steps over which the learning rate rises; with 0.1, OneCycleLR divides by zero in runs of ten steps."""


@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """Holds M pixels of a batch drawn from the labelled ones.

    view, row, column: (M,) int64 indices into its maps.
    truth: (M,) canonical metres within the network's range, sky at its far end.
    ground: (M,) bool, False for sky.
    """

    view: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor
    ground: Tensor

    @property
    def cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """View, row and column of the pixels in maps of stride 4."""
        return self.view, self.row // 4, self.column // 4

    def on_ground(self) -> LabelledPixels:
        """Select those that are not sky."""
        keep = self.ground
        return LabelledPixels(self.view[keep], self.row[keep], self.column[keep], self.truth[keep], keep[keep])


def canonical_target(network: MetricDepthNetwork | ProjectTeacher, batch: dict[str, Tensor]) -> Tensor:
    # (B, H, W) metres, NaN where unknown, inf for sky
    return batch["depth"] * (network.focal_canonical / batch["focal"])[:, None, None]


def labelled_pixels(network: MetricDepthNetwork | ProjectTeacher, batch: dict[str, Tensor]) -> LabelledPixels:
    """Collect the pixels that a batch names, their truth in metres at the network's canonical focal length.

    Args:
        network: Gives the canonical focal length and the range that the truth is limited to.
        batch: As of `TrainingViews`; negative entries of its `pixels` are left out.

    Returns:
        The pixels of all views, in one row.
    """
    view, number = torch.nonzero(batch["pixels"] >= 0, as_tuple=True)
    pixel = batch["pixels"][view, number]
    width = batch["depth"].shape[2]
    row, column = pixel // width, pixel % width
    target = canonical_target(network, batch)[view, row, column]
    truth = target.clamp(network.min_depth, network.max_depth)
    return LabelledPixels(view, row, column, truth, torch.isfinite(target))


def supervised_terms(
    network: MetricDepthNetwork, distribution: BinDistribution, batch: dict[str, Tensor], names: Collection[str]
) -> dict[str, Tensor]:
    """Compute the losses against the labels of a batch.

    Labels beyond the bins, sky among them, count as the farthest depth for the likelihood; sky is left out of SILog,
    where one such pixel would outweigh hundreds of near ones.

    Args:
        network, distribution: A network of bins, and what it makes of the batch.
        batch, names: Of `TrainingViews`, and the terms to compute, among WEIGHTS.

    Returns:
        The terms by name, unweighted.
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


class SupervisedModule(L.LightningModule):
    """Is the base of modules that train one network, its encoder at a rate of its own.

    name: Attribute that holds the network, and so the prefix of its weights in checkpoints.
    rates: Learning rate, the encoder's relative to it, and weight decay.
    weights, known: As of `StudentModule`, and those of all terms there are.
    """

    def __init__(
        self,
        name: str,
        network: Student | ProjectTeacher,
        encoder_weights: Path | None,
        rates: tuple[float, float, float],
        weights: dict[str, float] | None,
        known: dict[str, float],
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"architecture": network.architecture})
        self.add_module(name, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        self._encoder = f"{name}.encoder."
        self.learning_rate, self.encoder_rate, self.weight_decay = rates
        self.weights = weighted_terms(known if weights is None else weights, known)
        if encoder_weights is not None:
            network.encoder.load_imagenet(find_weights(encoder_weights))

    def configure_optimizers(self) -> Any:
        encoder: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, value in self.named_parameters():
            if value.requires_grad:
                (encoder if name.startswith(self._encoder) else rest).append(value)
        rates = (self.learning_rate * self.encoder_rate, self.learning_rate)
        return adamw_one_cycle(self, (encoder, rest), rates, self.weight_decay)


class StudentModule(SupervisedModule):
    """Trains with SILog and relative error of the depth, likelihood of the truth under the bins, and depth edges.

    encoder_weights: ImageNet weights, an .npz file.
    start: A checkpoint whose weights to begin with; unlike --ckpt_path it brings neither optimizer nor schedule.
    learning_rate: Of decoder and bins; the encoder's is `encoder_rate` times that.
    weights: Of the terms by name; None for WEIGHTS. A term without weight is left out.
    """

    student: Student

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
        rates = (learning_rate, encoder_rate, weight_decay)
        super().__init__("student", student, encoder_weights, rates, weights, WEIGHTS)
        if start is not None:
            self.student.load_state_dict(load_student(start).state_dict())
        self.abs_rel: dict[str, MeanMetric] = {}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the terms that have a weight, unweighted, of a batch of `TrainingViews`."""
        return supervised_terms(self.student, self.student.distribution(batch["images"]), batch, self.weights)

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        terms = self.losses(batch)
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def on_validation_epoch_start(self) -> None:
        names = [*self.trainer.datamodule.validation, "abs_rel"]  # type: ignore[attr-defined]
        self.abs_rel = {name: MeanMetric().to(self.device) for name in names}

    def validation_step(self, batch: dict[str, Tensor], _: int, dataloader_idx: int = 0) -> None:
        # Mean AbsRel over images, per set and over all of them: depth as it is, 0.1 to 80 m, at the network's size.
        name = self.trainer.datamodule.validation[dataloader_idx]  # type: ignore[attr-defined]
        depth, _sigma = self.student(batch["images"], batch["focal"])
        for error in abs_rel_per_image(depth, batch["depth"]):
            self.abs_rel[name].update(error)
            self.abs_rel["abs_rel"].update(error)

    def on_validation_epoch_end(self) -> None:
        for name, metric in self.abs_rel.items():
            self.log(f"val/{name}", metric.compute(), prog_bar=name == "abs_rel", sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the size of the network's input beside the architecture: an export uses it unless another is given."""
        checkpoint["hyper_parameters"]["size"] = list(self.trainer.datamodule.network_size)  # type: ignore[attr-defined]


def abs_rel_per_image(depth: Tensor, truth: Tensor) -> Iterator[Tensor]:
    low, high = VALIDATION_RANGE
    for predicted, measured in zip(depth.clamp(low, high), truth, strict=True):
        valid = (measured > low) & (measured < high)
        if valid.any():
            yield relative_error(predicted[valid], measured[valid])


def adamw_one_cycle(
    module: L.LightningModule, groups: Sequence[Iterable[nn.Parameter]], rates: Sequence[float], weight_decay: float
) -> dict[str, Any]:
    parameters = [{"params": list(group), "lr": rate} for group, rate in zip(groups, rates, strict=True)]
    optimizer = torch.optim.AdamW(parameters, weight_decay=weight_decay)
    steps = int(module.trainer.estimated_stepping_batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, list(rates), total_steps=steps, pct_start=RISE)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def weighted_terms(weights: dict[str, float], known: Iterable[str]) -> dict[str, float]:
    if unknown := sorted(set(weights) - set(known)):
        raise FsmdeError(f"weights name the terms {unknown}, expected among {', '.join(known)}; change model.weights")
    return {name: weight for name, weight in weights.items() if weight}
