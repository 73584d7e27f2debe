"""Keeps a teacher's outputs on disk: computed once per image and checkpoint, read many times in training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from fsmde_training.networks.decoder import Pyramid
from fsmde_training.teachers.base import STRIDES, Teacher

LEVELS = tuple(f"stride_{stride}" for stride in STRIDES)
RELATIVE = "relative"
SHARD = 120
"""Images per file: twenty rings of six."""
LARGEST_HALF = float(np.finfo(np.float16).max)


def fingerprint(teacher: Teacher) -> str:
    """Hash everything a teacher has learnt and its class: the same for the same checkpoint, wherever it lies."""
    digest = hashlib.sha256(type(teacher).__name__.encode())
    for name, value in teacher.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class CachedOutputs:
    """Reads outputs by image index. Files are mapped per call: nothing stays in memory, and workers share nothing."""

    def __init__(self, files: list[Path], shard: int) -> None:
        self._files, self._shard = files, shard

    def pyramid(self, indices: NDArray[np.integer]) -> Pyramid:
        """Read four maps (B, C_l, H/s, W/s) float32, fine to coarse, of the images at (B,) indices."""
        return tuple(self._read(level, indices) for level in LEVELS)

    def relative(self, indices: NDArray[np.integer]) -> Tensor:
        """Read (B, H/4, W/4) float32 relative inverse depth of the images at (B,) indices."""
        return self._read(RELATIVE, indices)

    def _read(self, field: str, indices: NDArray[np.integer]) -> Tensor:
        places = [divmod(int(index), self._shard) for index in indices]
        values = [np.load(self._files[number], mmap_mode="r")[field][row] for number, row in places]
        return torch.from_numpy(np.stack(values).astype(np.float32))


def cached_outputs(
    teacher: Teacher,
    images: NDArray[np.uint8],
    folder: Path,
    key: str,
    size: tuple[int, int] | None = None,
    shard: int = SHARD,
    batch: int = 6,
) -> CachedOutputs:
    """Compute the outputs that the folder lacks, and open all; they are float16 on disk.

    Files that belong to other images, another key or a run that was killed are removed. Under DDP call it in one
    process first (`prepare_data`).

    Args:
        teacher: Computes what is missing.
        images: (M, h, w, 3) uint8.
        folder: One for each image set and teacher.
        key: Stands for the checkpoint, `fingerprint(teacher)`.
        size: (H, W) of the student's image, as in `Teacher.forward`.
        shard, batch: Images per file, and images at a time.

    Returns:
        The outputs of all images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [images[start : start + shard] for start in range(0, len(images), shard)]
    files = [folder / f"{number:05d}-{_hash(part, key, size)}.npy" for number, part in enumerate(parts)]
    for stale in {*folder.glob("[0-9]*-*.npy"), *folder.glob("*.partial")} - set(files):
        stale.unlink()
    missing = [(file, part) for file, part in zip(files, parts, strict=True) if not file.is_file()]
    for file, part in track(missing, f"teacher on {folder.name}", disable=not missing):
        _write(file, teacher, part, size, batch)
    return CachedOutputs(files, shard)


def _hash(images: NDArray[np.uint8], key: str, size: tuple[int, int] | None) -> str:
    digest = hashlib.sha256(f"{key} {size} {images.shape}".encode())
    for image in images:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


@torch.no_grad()
def _write(file: Path, teacher: Teacher, images: NDArray[np.uint8], size: tuple[int, int] | None, batch: int) -> None:
    """Write one record per image, so that an image is one piece of the file; it is renamed when it is complete."""
    device = next(teacher.parameters()).device
    partial = file.with_suffix(".partial")
    records = None
    for start in range(0, len(images), batch):
        piece = slice(start, start + batch)
        output = teacher(torch.from_numpy(np.array(images[piece])).to(device), size)
        maps = dict(zip((*LEVELS, RELATIVE), (*output.pyramid, output.relative), strict=True))
        arrays = {name: values.clamp(-LARGEST_HALF, LARGEST_HALF).half().cpu().numpy() for name, values in maps.items()}
        if records is None:
            layout = np.dtype([(name, np.float16, array.shape[1:]) for name, array in arrays.items()])
            records = np.lib.format.open_memmap(partial, "w+", layout, (len(images),))
        for name, array in arrays.items():
            records[name][piece] = array
    if records is not None:
        records.flush()
    partial.replace(file)
