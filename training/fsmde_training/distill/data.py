"""Makes batches of rings, labelled and unlabelled, with what the teacher makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.dataset import MixedRings, RingAugmentation, RingViews
from fsmde_training.distill.sampler import RingSampler, Stratum
from fsmde_training.networks.sizes import check_size
from fsmde_training.sets.cache import load
from fsmde_training.supervised.data import ValidationViews
from fsmde_training.teachers import CachedOutputs, Teacher, TeacherOutput, cached_outputs, fingerprint, load_teacher


@dataclass(frozen=True)
class RingSet:
    """Says how often a set is drawn, and how many of its rings have labels.

    share: Its part of every epoch, any positive number.
    labelled: So many of its rings keep their labels, evenly spread; None keeps all.
    labelled_share: Part of this set's draws that goes to labelled rings: 1 for supervision alone, 0 for none.
    """

    share: float = 1.0
    labelled: int | None = None
    labelled_share: float = 0.5


class RingsDataModule(L.LightningDataModule):
    """Reads training rings and validation images from sets of `fsmde_training.sets.cache`, mapped into memory.

    root: The folder of the sets.
    train, validation: Sets of rings, and sets, by name. All have the network's size.
    teacher: As for `load_teacher`; None for supervision alone.
    outputs: A folder for the teacher's outputs, for images as stored; those that are missing are computed first, by one
        process. Without it the teacher runs in every step, on the augmented images: slower, and no disk needed.
    batch_size, samples: Rings per process, and rings per epoch over all processes.
    pixels, views: Labelled pixels per view, and images per ring.
    seed: Of the order and the augmentation, which depend on nothing else but epoch and place.
    """

    def __init__(
        self,
        root: Path,
        train: dict[str, RingSet],
        validation: list[str],
        augmentation: RingAugmentation,
        teacher: str | None = None,
        outputs: Path | None = None,
        batch_size: int = 2,
        samples: int = 600,
        pixels: int = 2048,
        views: int = 6,
        workers: int = 2,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.prepare_data_per_node = False  # the nodes share their disks: one process writes the teacher's outputs
        self.root, self.train, self.validation, self.augmentation = root, train, validation, augmentation
        self.teacher, self.outputs = teacher, outputs
        self.batch_size, self.samples, self.pixels, self.views = batch_size, samples, pixels, views
        self.workers, self.seed = workers, seed
        self._running_teacher: Teacher | None = None
        self._cached: dict[str, CachedOutputs] = {}

    def prepare_data(self) -> None:
        if self.outputs is not None:
            self._read_outputs()

    def setup(self, stage: str) -> None:
        check_size(self.network_size, "images of the sets,")
        if self.teacher is None:
            return
        if self.outputs is not None:
            self._cached = self._read_outputs()
        else:
            self._running_teacher = load_teacher(self.teacher).to(self._device)

    @property
    def network_size(self) -> tuple[int, int]:
        """(height, width) of all images; FsmdeError where they differ in size: rings are not scaled."""
        sizes = {name: load(self.root / name).size for name in (*self.train, *self.validation)}
        if len(set(sizes.values())) != 1:
            found = ", ".join(f"{name} {width}x{height}" for name, (height, width) in sizes.items())
            raise FsmdeError(f"the sets have different sizes ({found}), expected one; prepare them at the network's")
        return next(iter(sizes.values()))

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")

    def _read_outputs(self) -> dict[str, CachedOutputs]:
        """Read the teacher's outputs for every set; they are computed where they are not there yet."""
        if self.teacher is None or self.outputs is None:
            return {}
        teacher = load_teacher(self.teacher).to(self._device)
        key = fingerprint(teacher)
        return {
            name: cached_outputs(teacher, load(self.root / name).images, self.outputs / f"{name}_{key[:12]}", key)
            for name in self.train
        }

    def train_dataloader(self) -> DataLoader:
        sets = [
            RingViews(
                load(self.root / name),
                self.augmentation,
                self.pixels,
                chosen.labelled,
                self.views,
                self._cached.get(name),
            )
            for name, chosen in self.train.items()
        ]
        strata = [
            stratum
            for number, (views, chosen) in enumerate(zip(sets, self.train.values(), strict=True))
            for stratum in _strata(number, views, chosen)
        ]
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer is not None else (1, 0)
        mixed = MixedRings(sets)
        return DataLoader(
            mixed,
            batch_size=self.batch_size,
            sampler=RingSampler(mixed, strata, self.samples, self.batch_size, self.seed, world, rank),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self._device.type == "cuda",
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Load every validation set; under DDP the last images may count twice: all processes have as many."""
        return [DataLoader(ValidationViews(load(self.root / name)), batch_size=self.views) for name in self.validation]

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        if self._running_teacher is None or self.trainer is None or not self.trainer.training:
            return batch
        images = batch["images"]
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            pyramid, relative = self._running_teacher(images.flatten(0, 1))
        rings = images.shape[:2]
        batch["teacher"] = TeacherOutput(tuple(m.unflatten(0, rings) for m in pyramid), relative.unflatten(0, rings))
        return batch


def _strata(number: int, views: RingViews, chosen: RingSet) -> list[Stratum]:
    """Divide one set into labelled and unlabelled rings; those that are never drawn are left out."""
    labelled = views.labelled
    unlabelled = np.setdiff1d(np.arange(len(views)), labelled)
    both = len(labelled) > 0 and len(unlabelled) > 0
    part = chosen.labelled_share if both else float(len(labelled) > 0)
    if not 0 <= part <= 1:
        raise FsmdeError(f"labelled_share={part}, expected 0 to 1; change data.train")
    parts = ((labelled, chosen.share * part), (unlabelled, chosen.share * (1 - part)))
    return [Stratum(number, rings, proportion) for rings, proportion in parts if proportion > 0]
