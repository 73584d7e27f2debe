"""Makes batches of single views: real and synthetic mixed in a fixed ratio, and validation sets at full size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset, WeightedRandomSampler

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.sizes import STRIDE, check_size
from fsmde_training.sets.cache import HIDDEN, TrainingSet, load
from fsmde_training.supervised.augment import Augmentation, augment


class TrainingViews(Dataset):
    """Makes augmented crops of a cached set.

    Items: images (h, w, 3) uint8; depth (h, w) float32 metres, NaN unknown, inf sky; focal () float32;
    pixels (K,) int64: indices into the flat depth of labelled pixels drawn with replacement, so that sparse and dense
    images count alike; -1 where an image has no label at all.
    """

    def __init__(
        self, views: TrainingSet, settings: Augmentation, size: tuple[int, int], network_width: int, pixels: int
    ) -> None:
        self._views, self._settings, self._size, self._pixels = views, settings, size, pixels
        self._network_scale = network_width / views.images.shape[2]

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # the worker's torch seed makes this reproducible
        views = self._views
        view = (views.images[index], views.depth[index], float(views.focal[index]))
        rgb, depth, focal = augment(*view, self._settings, self._size, self._network_scale, rng)
        return {
            "images": torch.from_numpy(rgb),
            "depth": torch.from_numpy(depth),
            "focal": torch.tensor(focal, dtype=torch.float32),
            "pixels": torch.from_numpy(draw_labelled(depth, self._pixels, rng)),
        }


def draw_labelled(depth: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw labelled pixels, with replacement; sky is labelled.

    Args:
        depth: (H, W) metres, NaN where unknown, inf for sky, HIDDEN on the own vehicle.
        count, rng: How many to draw, and what draws them.

    Returns:
        (count,) indices into the flat depth; all -1 where no pixel is labelled.
    """
    labelled = np.flatnonzero(depth > HIDDEN)  # not so for NaN
    return rng.choice(labelled, count) if labelled.size else np.full(count, -1)


class ValidationViews(Dataset):
    """Gives a cached set as it is: images (H, W, 3) uint8, depth (H, W) float32 metres, focal () float32."""

    def __init__(self, views: TrainingSet) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        views = self._views
        return {
            "images": torch.from_numpy(np.array(views.images[index])),
            "depth": torch.from_numpy(views.depth[index].astype(np.float32)),
            "focal": torch.tensor(views.focal[index]),
        }


class ViewsDataModule(L.LightningDataModule):
    """Reads sets that `python -m fsmde_training.sets.prepare` made.

    root: Folder of the sets.
    train: Name of a set -> its share of every epoch, any positive number.
    validation: Names of sets at the network's size.
    crop: (height, width) of training crops, multiples of 32.
    network_width: Width of the network's input, pixels.
    samples, pixels: Views per epoch, None for as many as the sets have images; and labelled pixels per view.
    """

    def __init__(
        self,
        root: Path,
        train: dict[str, float],
        validation: list[str],
        augmentation: Augmentation,
        crop: tuple[int, int] = (192, 320),
        network_width: int = 448,
        batch_size: int = 16,
        samples: int | None = None,
        pixels: int = 2048,
        workers: int = 2,
    ) -> None:
        super().__init__()
        check_size(crop, "data.crop")
        if samples is not None and samples < batch_size:
            raise FsmdeError(f"data.samples={samples}, expected at least data.batch_size={batch_size}; raise samples")
        self.root, self.validation, self.augmentation = root, validation, augmentation
        self.train: Mapping[str, float] = train
        self.crop, self.network_width = crop, network_width
        self.batch_size, self.samples, self.pixels, self.workers = batch_size, samples, pixels, workers

    def setup(self, stage: str) -> None:
        for name in self.validation:
            check_size(load(self.root / name).size, f"images of the validation set {name},")

    @property
    def network_size(self) -> tuple[int, int]:
        """The (height, width) of the input: that of what validates, else of training images at `network_width`."""
        if self.validation:
            return load(self.root / self.validation[0]).size
        height, width = load(self.root / next(iter(self.train))).size
        return max(1, round(height * self.network_width / width / STRIDE)) * STRIDE, self.network_width

    def train_dataloader(self) -> DataLoader:
        sets = [
            TrainingViews(load(self.root / name), self.augmentation, self.crop, self.network_width, self.pixels)
            for name in self.train
        ]
        weights = [share / len(views) for views, share in zip(sets, self.train.values(), strict=True) for _ in views]  # type: ignore[attr-defined]
        samples = self.samples or max(len(weights), self.batch_size)  # a batch that is not full is left out
        return DataLoader(
            ConcatDataset(sets),
            batch_size=self.batch_size,
            sampler=WeightedRandomSampler(weights, samples),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            drop_last=True,
        )

    def val_dataloader(self) -> list[DataLoader]:
        return [DataLoader(ValidationViews(load(self.root / name)), batch_size=6) for name in self.validation]
