"""Gives cached sets as rings: all views of a frame together, few of them with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fsmde_core.errors import FsmdeError
from fsmde_training.sets.cache import HIDDEN, TrainingSet
from fsmde_training.supervised.augment import damage, flip_ring, jitter_colour
from fsmde_training.supervised.data import draw_labelled
from fsmde_training.teachers import TeacherOutput
from fsmde_training.teachers.cache import CachedOutputs


@dataclass(frozen=True)
class RingAugmentation:
    """Varies whole rings: colour, damage and mirroring, but no crops, which would part neighbouring borders.

    flip: Probability of a mirrored ring.
    colour: Strength of colour and tone changes (0 none, 1 strong), of every view its own.
    damage: Probability of each of blur, noise and JPEG artefacts, per view.
    """

    flip: float = 0.5
    colour: float = 1.0
    damage: float = 0.25


class RingDraw(NamedTuple):
    """Names one sample of an epoch: the set, the ring in it, and the numbers that seed its augmentation."""

    dataset: int
    ring: int
    key: tuple[int, int, int]


class RingViews(Dataset):
    """Reads a cached set whose images are stored ring by ring, `views` each, in ring order.

    Items: images (V, H, W, 3) uint8; depth (V, H, W) float32 metres, NaN unknown, inf sky; seen (V, H, W) bool, False
    on the own vehicle and past an image's edge; focal (V,) float32 pixels;
    pixels (V, K) int64: indices into the flat depth of labelled pixels drawn with replacement, -1 where a view has
    none; ring () int64; mirrored () bool; teacher: TeacherOutput of the V images, where `teacher` is given.

    labelled: Rings that keep their depth, evenly spread over those that have any; None keeps all. Of the others only
        what is hidden is read.
    teacher: Cached outputs for the images as stored. Those of a mirrored ring are mirrored as well, which is what the
        teacher would say but for its padding and its own asymmetry: an approximation.
    """

    def __init__(
        self,
        images: TrainingSet,
        augmentation: RingAugmentation,
        pixels: int,
        labelled: int | None = None,
        views: int = 6,
        teacher: CachedOutputs | None = None,
    ) -> None:
        if len(images) % views:
            raise FsmdeError(f"the set has {len(images)} images, expected a multiple of views={views}; change views")
        self._images, self._augmentation, self._pixels, self._views = images, augmentation, pixels, views
        self._teacher = teacher
        measured = _measured_rings(images, views)
        labelled = len(measured) if labelled is None else labelled
        if not 0 <= labelled <= len(measured):
            raise FsmdeError(
                f"labelled={labelled}, expected 0 to {len(measured)}, the set's rings with labels; change labelled"
            )
        spread = (2 * np.arange(labelled) + 1) * len(measured) // max(2 * labelled, 1)
        self.labelled: NDArray[np.int64] = measured[spread]
        """Indices of the labelled rings, increasing."""

    def __len__(self) -> int:
        return len(self._images) // self._views

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        return self._images.size

    def __getitem__(self, draw: RingDraw) -> dict[str, Any]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(draw.key)
        settings, stored = self._augmentation, slice(draw.ring * self._views, (draw.ring + 1) * self._views)
        images, focal = self._images.images[stored], self._images.focal[stored]
        depth = self._images.depth[stored].astype(np.float32)
        seen = depth != HIDDEN
        if draw.ring not in self.labelled:
            depth = np.full(images.shape[:3], np.nan, np.float32)
        mirrored = bool(rng.random() < settings.flip)
        if mirrored:
            images, depth, seen = flip_ring(images), flip_ring(depth), flip_ring(seen)
            focal = flip_ring(focal[:, None, None])[:, 0, 0]
        varied = [jitter_colour(np.ascontiguousarray(view), settings.colour, rng) for view in images]
        item: dict[str, Any] = {
            "images": torch.from_numpy(np.stack([damage(view, settings.damage, rng) for view in varied])),
            "depth": torch.from_numpy(np.ascontiguousarray(depth)),
            "seen": torch.from_numpy(np.ascontiguousarray(seen)),
            "focal": torch.from_numpy(np.array(focal)),
            "pixels": torch.from_numpy(np.stack([draw_labelled(view, self._pixels, rng) for view in depth])),
            "ring": torch.tensor(draw.ring),
            "mirrored": torch.tensor(mirrored),
        }
        if self._teacher is not None:
            item["teacher"] = self._teacher_output(stored, mirrored)
        return item

    def _teacher_output(self, stored: slice, mirrored: bool) -> TeacherOutput:
        assert self._teacher is not None
        rows = np.arange(stored.start, stored.stop)
        pyramid, relative = self._teacher.pyramid(rows), self._teacher.relative(rows)
        if mirrored:
            pyramid, relative = tuple(mirror_maps(level) for level in pyramid), mirror_maps(relative)
        return TeacherOutput(pyramid, relative)


def _measured_rings(images: TrainingSet, views: int) -> NDArray[np.int64]:
    """Find the rings with a measured depth in at least one view."""
    if images.labelled is None:
        return np.arange(len(images) // views)
    return np.flatnonzero(images.labelled.reshape(-1, views).any(axis=1))


def mirror_maps(maps: Tensor) -> Tensor:
    """Turn maps (V, ..., h, w) of a ring into those of the mirrored ring: `augment.flip_ring` with the width last."""
    return torch.cat([maps[:1], maps[1:].flip(0)]).flip(-1)


class MixedRings(Dataset):
    """Joins several `RingViews`, indexed by `RingDraw`; images of all must have one size."""

    def __init__(self, sets: Sequence[RingViews]) -> None:
        self.sets = tuple(sets)
        if len(sizes := {views.size for views in sets}) != 1:
            raise FsmdeError(f"the training sets have sizes {sorted(sizes)}, expected one; prepare them at one size")

    def __len__(self) -> int:
        return sum(len(views) for views in self.sets)

    def __getitem__(self, draw: RingDraw) -> dict[str, Any]:
        return self.sets[draw.dataset][draw]
