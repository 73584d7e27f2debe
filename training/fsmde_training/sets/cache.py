"""Stores training images, rectified once as the node does it, in arrays that map into memory.

A folder per set holds images.npy, depth.npy, focal.npy and labelled.npy, the fields of `TrainingSet`. Rings are whole:
the cameras of a frame follow each other in the ring's order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fsmde_core.errors import FsmdeError

Sample = tuple[NDArray[np.uint8], NDArray[np.float16], float]
"""One image: rgb (H, W, 3), depth (H, W) in metres, focal length in pixels."""
HIDDEN = np.float16("-inf")
"""Depth of a pixel that shows the own vehicle or nothing at all: no label, nor anything to distil."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Holds M RGB images (M, H, W, 3), depth (M, H, W) metres, and focal lengths (M,) in pixels.

    Depth is NaN where it is unknown, inf in the sky and HIDDEN where no view of the world is.

    labelled: (M,) bool, whether an image has a measured depth; None where nobody looked: each counts as labelled.
    """

    images: NDArray[np.uint8]
    depth: NDArray[np.float16]
    focal: NDArray[np.float32]
    labelled: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.focal)

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the images, pixels."""
        return self.images.shape[1:3]  # type: ignore[return-value]


def is_complete(folder: Path) -> bool:
    """Tell whether `save` finished a set there."""
    return (folder / "focal.npy").is_file()


def load(folder: Path) -> TrainingSet:
    """Map a cached set into memory. Raises FsmdeError when it is not there or was not finished."""
    names = ["images", "depth", "focal"]
    if (folder / "labelled.npy").is_file():  # sets written by hand may do without
        names.append("labelled")
    try:
        return TrainingSet(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))
    except OSError as error:
        raise FsmdeError(
            f"no training set in {folder}; make it with 'python -m fsmde_training.sets.prepare'"
        ) from error


def save(folder: Path, samples: Iterable[Sample], count: int | None, width: int, height: int) -> NDArray[np.bool_]:
    """Write a set, one sample in memory at a time; a set that was there is replaced.

    The focal file is written last and marks the set as complete.

    Args:
        folder, samples: Where the set is written, and what.
        count: How many there must be; None where nobody knows beforehand.
        width, height: Of the images, pixels.

    Returns:
        `labelled` of the set. Raises FsmdeError when none or another number of samples came, or one of another size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "focal.npy").unlink(missing_ok=True)
    focal, labelled = [], []
    with (
        _GrowingArray(folder / "images.npy", np.uint8, (height, width, 3)) as images,
        _GrowingArray(folder / "depth.npy", np.float16, (height, width)) as depth,
    ):
        for rgb, metres, pixels in samples:
            images.append(rgb)
            depth.append(metres)
            focal.append(pixels)
            labelled.append(bool(np.isfinite(metres).any()))
    if not focal or count not in (None, len(focal)):
        expected = count or "at least 1"
        raise FsmdeError(f"{folder} got {len(focal)} images, expected {expected}; it is not complete, make it again")
    np.save(folder / "labelled.npy", labelled)
    partial = folder / "focal.partial.npy"
    np.save(partial, np.array(focal, np.float32))
    partial.replace(folder / "focal.npy")
    return np.array(labelled)


class _GrowingArray:
    """Writes a .npy file row by row. NumPy keeps room in the header for the number of rows, known at the end."""

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...]) -> None:
        self._path, self._dtype, self._row, self._rows = path, np.dtype(dtype), row, 0
        self._file = path.open("wb")
        self._first_row = self._write_header()

    def append(self, row: NDArray) -> None:
        if row.shape != self._row:
            raise FsmdeError(f"{self._path} takes arrays of shape {self._row}, got {row.shape}; make all of one size")
        self._file.write(np.ascontiguousarray(row, self._dtype).data)
        self._rows += 1

    def __enter__(self) -> _GrowingArray:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.seek(0)
            assert self._write_header() == self._first_row

    def _write_header(self) -> int:
        """Write the header at the beginning of the file, where it stands; returns where the rows begin."""
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._rows, *self._row)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()
