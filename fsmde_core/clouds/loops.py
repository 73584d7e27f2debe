"""Writes the records of points in one pass over the pixels.

A row is one of R = N * H rows of W pixels, those of all images of a set one below the other. A record is `fields`
float32 values: x, y, z, where there are five the bits of 0x00RRGGBB, and sigma.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fsmde_core.compiled import F32, F64, INT, NOTHING, U8, compile_loop, inline, read_array, written_array

CELL_BITS = 21
"""Bits of a voxel's number along one axis: three such numbers make one key."""
MOST_CELLS = 1 << (CELL_BITS - 1)
"""Voxels along one axis, in either direction from the origin."""
NO_KEY = -1

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

# Indices of what is written are unsigned: signed ones would be tested for negative ones, which count from the end.
_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)


@compile_loop(
    NOTHING, read_array(F32, 2), read_array(F32, 2), read_array(F32, 1), written_array(U8, 2), written_array(INT, 1)
)
def gate(depth: Floats, sigma: Floats, limits: Floats, keep: Bytes, counts: Ints) -> None:
    """Decide which pixels become points; every comparison with NaN fails.

    Args:
        depth, sigma: (R, W) metres.
        limits: min_range, max_range, max_relative_sigma.
        keep: (R, W), gets 1 where a pixel becomes a point, else 0.
        counts: (R,), gets the number of points in each row.
    """
    low, high, relative = limits
    for row in range(depth.shape[0]):
        depths, sigmas, kept = depth[row], sigma[row], keep[row]
        for u in range(depth.shape[1]):
            d, s = depths[u], sigmas[u]
            kept[u] = (d >= low) & (d <= high) & (s >= np.float32(0)) & (s <= relative * d)
        count = np.int32(0)
        for u in range(depth.shape[1]):
            count += np.int32(kept[u])
        counts[row] = count


@inline
def _color(rgb: Bytes, u: int) -> np.uint32:
    """Compute 0x00RRGGBB of pixel u of a row of bytes."""
    red, green, blue = np.uint32(rgb[3 * u]), np.uint32(rgb[3 * u + 1]), np.uint32(rgb[3 * u + 2])
    return (red << np.uint32(16)) | (green << np.uint32(8)) | blue


@inline
def _axis(rays: Doubles, axis: int, v: int) -> tuple[np.float32, np.float32]:
    """Split rays (3, 3) @ (u, v, 1), the points at depth 1 in row v, along one axis: step along u, and start."""
    return np.float32(rays[axis, 0]), np.float32(rays[axis, 1] * v + rays[axis, 2])


_FLOAT_IMAGE, _BYTE_IMAGE = read_array(F32, 2), read_array(U8, 2)
_IMAGES = (_FLOAT_IMAGE, _FLOAT_IMAGE, _BYTE_IMAGE, _BYTE_IMAGE, read_array(F64, 3), read_array(F64, 2))


def _writer(fields: int, organised: bool) -> Callable[..., None]:
    """Compile the function for records of so many fields: as a constant, their number saves a quarter of the time.

    organised: a record for every pixel, with NaN for x, y and z where it is not kept, instead of the kept ones alone.
    """

    @compile_loop(NOTHING, *_IMAGES, read_array(INT, 1), written_array(F32, 1))
    def write(
        depth: Floats,
        sigma: Floats,
        rgb: Bytes,
        keep: Bytes,
        rays: Doubles,
        origins: Doubles,
        counts: Ints,
        records: Floats,
    ) -> None:
        """Write the `records` of the pixels, row by row, one after the other.

        depth, sigma, keep: (R, W); rgb: (R, 3 * W); counts: (R,) of kept pixels in each row. rays: (N, 3, 3), origins:
        (N, 3) of each image: the pixel (u, v) is the point origin + depth * rays @ (u, v, 1).
        """
        height, width = depth.shape[0] // rays.shape[0], depth.shape[1]
        at, colors = np.uint64(0), records.view(np.uint32)
        for row in range(depth.shape[0]):
            if counts[row] == 0 and not organised:
                continue
            whole, image, v = counts[row] == width, row // height, row % height
            (ax, bx), (ay, by), (az, bz) = _axis(rays[image], 0, v), _axis(rays[image], 1, v), _axis(rays[image], 2, v)
            ox, oy, oz = np.float32(origins[image, 0]), np.float32(origins[image, 1]), np.float32(origins[image, 2])
            depths, sigmas, kept, bytes_ = depth[row], sigma[row], keep[row], rgb[row]
            for u in range(width):
                if organised or whole or kept[u]:
                    d = depths[u] if whole or kept[u] else np.float32(np.nan)
                    c = np.float32(np.int32(u))
                    records[at] = (ax * c + bx) * d + ox
                    records[at + _1] = (ay * c + by) * d + oy
                    records[at + _2] = (az * c + bz) * d + oz
                    colors[at + _3] = _color(bytes_, u)
                    records[at + np.uint64(fields - 1)] = sigmas[u]  # over the color where there is no field for it
                    at += np.uint64(fields)

    return write


write_points = {fields: _writer(fields, organised=False) for fields in (4, 5)}
write_image = {fields: _writer(fields, organised=True) for fields in (4, 5)}


@compile_loop(INT, F32, written_array(INT, 1), written_array(F32, 2))
def keep_first_per_voxel(cells_per_metre: float, table: Ints, records: Floats) -> int:
    """Move the first record of every voxel to the front, in their order.

    Args:
        cells_per_metre: 1 / edge of a voxel.
        table: (M,) with M > K a power of two; overwritten.
        records: (K, fields), x, y, z first.

    Returns:
        The number of voxels, or -1 if CELL_BITS are too few.
    """
    table[:] = NO_KEY
    mask = table.size - 1
    kept = 0
    for index in range(records.shape[0]):
        key = 0
        for axis in range(3):
            cell = int(np.floor(records[index, axis] * cells_per_metre)) + MOST_CELLS
            if not 0 <= cell < 2 * MOST_CELLS:
                return -1
            key = key << CELL_BITS | cell
        # Fibonacci hashing, then the next free place
        slot = int((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
        while table[slot] != NO_KEY and table[slot] != key:
            slot = (slot + 1) & mask
        if table[slot] == NO_KEY:
            table[slot] = key
            records[kept] = records[index]
            kept += 1
    return kept
