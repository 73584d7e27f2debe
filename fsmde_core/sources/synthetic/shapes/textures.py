"""Keeps all materials in one mip-mapped atlas, so that a whole image is textured by a single look-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.shapes import materials as m
from fsmde_core.sources.synthetic.shapes.materials import SIZE, Tile

LEVELS = 9
VARIANTS: dict[str, tuple[Callable[[Generator], Tile], ...]] = {
    **{f.__name__: (f,) for f in (m.plain, m.paint, m.paving, m.grass, m.soil, m.plaster, m.brick, m.siding)},
    **{f.__name__: (f,) for f in (m.corrugated, m.shingles, m.bark, m.wheel, m.car_glass, m.windscreen, m.car_side)},
    **{f.__name__: (f,) for f in (m.bus_side, m.twigs, m.bars, m.pickets, m.kerb, m.clouds)},
    "asphalt": (m.asphalt,) * 2,
    "leaves": tuple(partial(m.leaves, low=low, coverage=part) for low, part in ((3, 0.84), (5, 0.78), (8, 0.72))),
    "facade": (m.facade,) * 12,
    "curtain": (m.curtain_wall,) * 3,
    "shop": (m.shopfront,) * 4,
    "poster": (m.poster,) * 5,
}
"""Name -> makers of its variants; the texture is then called name, or name0, name1, ... where there are several."""

MAKERS = {
    name if len(makers) == 1 else f"{name}{i}": maker
    for name, makers in VARIANTS.items()
    for i, maker in enumerate(makers)
}
INDEX = {name: i for i, name in enumerate(MAKERS)}
HAS_HOLES = np.array([name.startswith(("leaves", "twigs", "bars", "pickets")) for name in MAKERS])
"""(textures,) bool: the fourth channel is coverage, not gloss."""


def random_variant(name: str, rng: Generator) -> str:
    return f"{name}{rng.integers(len(VARIANTS[name]))}"


class Atlas:
    """Holds every texture with its mip levels in one (H, W, 4) uint8 image, padded by one texel so that tiles wrap."""

    def __init__(self) -> None:
        sizes = SIZE >> np.arange(LEVELS)
        self._scale = sizes.astype(np.float32)
        self._left = (np.cumsum(sizes + 2) - sizes - 1).astype(np.float32)
        self._row = SIZE + 2
        self.image = np.zeros((self._row * len(MAKERS), int(np.sum(sizes + 2)), 4), np.uint8)
        for index, maker in enumerate(MAKERS.values()):
            tile = (255 * maker(np.random.default_rng(index))).round().astype(np.uint8)
            for level, size in enumerate(sizes):
                top, left = index * self._row, int(self._left[level]) - 1
                padded = cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_WRAP)
                self.image[top : top + size + 2, left : left + size + 2] = padded
                tile = cv2.resize(tile, (max(size // 2, 1),) * 2, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]

    def sample(self, texture: NDArray, u: NDArray, v: NDArray, footprint: NDArray) -> NDArray[np.float32]:
        """Sample textures bilinearly in one mip level each.

        Args:
            texture: (N,) index.
            u, v: (N,) tile coordinates, to the right and downwards.
            footprint: (N,) size of a pixel in tiles; it chooses the level.

        Returns:
            (N, 4) float32 in [0, 1].
        """
        level = np.log2(np.maximum(footprint * SIZE, 1)).astype(np.int32)
        np.minimum(level, LEVELS - 1, out=level)
        scale = self._scale[level]
        x = (u - np.floor(u)) * scale + (self._left[level] - 0.5)
        y = (v - np.floor(v)) * scale + (texture * self._row + 0.5)
        return sample_bilinear(self.image, x, y) * np.float32(1 / 255)

    def covers(self, texture: int, u: NDArray, v: NDArray) -> NDArray[np.bool_]:
        # whether a cut-out covers the tile coordinates (N,): nearest texel of the finest level
        x = ((u - np.floor(u)) * (SIZE - 1)).astype(np.int32) + 1
        y = ((v - np.floor(v)) * (SIZE - 1)).astype(np.int32) + (1 + texture * self._row)
        return self.image[y, x, 3] > 127


def sample_bilinear(image: NDArray, x: NDArray, y: NDArray) -> NDArray:
    # (N, C) in the image's dtype at pixel positions (N,), zero outside of the image (H, W, C)
    columns = 8192  # OpenCV limits images to 32767 rows and columns
    rows = -(-x.size // columns)
    maps = np.zeros((2, rows * columns), np.float32)
    maps[0, : x.size], maps[1, : x.size] = x, y
    columns_at, rows_at = maps.reshape(2, rows, columns)
    found: NDArray = cv2.remap(image, columns_at, rows_at, interpolation=cv2.INTER_LINEAR)
    return found.reshape(rows * columns, -1)[: x.size]


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Return the atlas, made once per process; it is the same for every street."""
    return Atlas()
