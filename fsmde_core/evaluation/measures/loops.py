"""The loops of scoring, compiled: one pass each where NumPy would write every intermediate result to memory.

The modules that call them say what the numbers mean. M: pixels or points that are looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsmde_core.compiled import BOOL, F32, F64, INT, NOTHING, U8, compile_loop, inline, read_array, written_array

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_1 = np.float32(1)


@compile_loop(NOTHING, read_array(INT, 1), written_array(U8, 1), written_array(BOOL, 1))
def mark_last(cell: Ints, taken: NDArray[np.uint8], last: NDArray[np.bool_]) -> None:
    """last: (M,) whether no later entry has the same number. taken: a bit per number, all 0 before."""
    for index in range(cell.size - 1, -1, -1):
        byte, bit = cell[index] >> 3, 1 << (cell[index] & 7)
        last[index] = not taken[byte] & bit
        taken[byte] |= bit


@inline
def _neighbours(index: int, step: float, size: int) -> tuple[int, int, np.float32]:
    """The two of `size` inputs between which an output pixel lies, and the second one's weight."""
    place = min(max((index + 0.5) * step - 0.5, 0.0), size - 1.0)
    first = int(place)
    return first, min(first + 1, size - 1), np.float32(place - first)


@compile_loop(NOTHING, read_array(F32, 2), read_array(INT, 1), read_array(INT, 1), INT, INT, written_array(F32, 1))
def sample_bilinear(values: Floats, row: Ints, column: Ints, height: int, width: int, found: Floats) -> None:
    """found: (M,) of (h, w) `values`, resized to height x width, at the pixels (row, column)."""
    rows, columns = values.shape
    step_down, step_across = rows / height, columns / width
    for index in range(row.size):
        top, bottom, down = _neighbours(row[index], step_down, rows)
        left, right, across = _neighbours(column[index], step_across, columns)
        upper = values[top, left] * (_1 - across) + values[top, right] * across
        lower = values[bottom, left] * (_1 - across) + values[bottom, right] * across
        found[index] = upper * (_1 - down) + lower * down


@compile_loop(NOTHING, read_array(F32, 1), read_array(F32, 1), written_array(INT, 1))
def find_bands(truth: Floats, edges: Floats, band: Ints) -> None:
    """band: (M,) how many of the rising `edges` are not above the true depth."""
    for index in range(truth.size):
        count = 0
        for edge in edges:
            count += truth[index] >= edge
        band[index] = count


@compile_loop(
    NOTHING,
    read_array(F64, 1),
    read_array(F64, 1),
    read_array(F64, 1),
    read_array(F64, 1),
    read_array(INT, 1),
    written_array(F64, 2),
)
def add_errors(
    truth: Doubles, prediction: Doubles, ratio: Doubles, log_ratio: Doubles, cell: Ints, sums: Doubles
) -> None:
    """Add the terms of `metrics.TERMS` to the row of `sums` that (M,) `cell` names. ratio: 1 or more."""
    for index in range(truth.size):
        g, row = truth[index], sums[cell[index]]
        error = abs(g - prediction[index])
        row[0] += error / g
        row[1] += error * error / g
        row[2] += error * error
        row[3] += log_ratio[index] * log_ratio[index]
        row[4] += ratio[index] < 1.25
        row[5] += ratio[index] < 1.25**2
        row[6] += ratio[index] < 1.25**3
        row[7] += 1


@compile_loop(NOTHING, read_array(F64, 1), read_array(F64, 1), written_array(F64, 2))
def add_to_bins(place: Doubles, values: Doubles, histogram: Doubles) -> None:
    """Add to histogram, (2, BINS), how many of the (M,) values there are by place, and their sums.

    What lies beyond falls into the outermost bins, NaN into the last.
    """
    last = histogram.shape[1] - 1
    for index in range(place.size):
        number = int(max(place[index], 0.0)) if place[index] < last else last
        histogram[0, number] += 1
        histogram[1, number] += values[index]


@inline
def _nearest(at: float, scale: float, size: int) -> int:
    """The pixel of the same view at another scale."""
    return int(min(max(np.rint((at + 0.5) * scale - 0.5), 0.0), size - 1.0))


@compile_loop(NOTHING, read_array(F64, 1), read_array(F64, 1), read_array(F32, 1), F64, F64, written_array(F32, 2))
def find_nearest(u: Doubles, v: Doubles, z: Floats, scale_u: float, scale_v: float, nearest: Floats) -> None:
    """nearest: the least depth in each cell of a coarse grid over the view, as far as it was not less before."""
    rows, columns = nearest.shape
    for index in range(z.size):
        row, column = _nearest(v[index], scale_v, rows), _nearest(u[index], scale_u, columns)
        nearest[row, column] = min(nearest[row, column], z[index])


_POINTS = (read_array(INT, 1), read_array(F64, 1), read_array(F64, 1), read_array(F32, 1))


@compile_loop(NOTHING, *_POINTS, read_array(F32, 2), read_array(F32, 2), F64, F64, F32, F32, written_array(F64, 1))
def find_ratios(
    point: Ints,
    u: Doubles,
    v: Doubles,
    z: Floats,
    depth: Floats,
    nearest: Floats,
    width: float,
    height: float,
    cap_m: float,
    hidden: float,
    ratios: Doubles,
) -> None:
    """ratios: predicted over true depth at `point` where both count; the rest is left as it is.

    u, v, z: (M,) in the view of width x height. depth, nearest: the same view at other sizes.
    """
    for index in range(z.size):
        row = _nearest(v[index], nearest.shape[0] / height, nearest.shape[0])
        column = _nearest(u[index], nearest.shape[1] / width, nearest.shape[1])
        if z[index] >= cap_m or z[index] > hidden * nearest[row, column]:
            continue
        row = _nearest(v[index], depth.shape[0] / height, depth.shape[0])
        column = _nearest(u[index], depth.shape[1] / width, depth.shape[1])
        if np.isfinite(depth[row, column]):
            ratios[point[index]] = depth[row, column] / z[index]


@compile_loop(
    INT,
    read_array(F32, 2),
    read_array(F64, 2),
    read_array(F64, 1),
    read_array(F64, 1),
    read_array(F64, 2),
    written_array(F64, 1),
)
def compare_moved(
    points: Floats, T_world_points: Doubles, first: Doubles, second: Doubles, centres: Doubles, differences: Doubles
) -> int:
    """Fill `differences` for those of the (N, 3) points that have both ratios; how many those are. centres: (2, 3)."""
    found = 0
    for index in range(first.size):
        if np.isnan(first[index]) or np.isnan(second[index]):
            continue
        x, y, z = np.float64(points[index, 0]), np.float64(points[index, 1]), np.float64(points[index, 2])
        apart = one = other = 0.0
        for axis in range(3):
            T = T_world_points[axis]
            middle = (centres[0, axis] + centres[1, axis]) / 2
            place = T[0] * x + T[1] * y + T[2] * z + T[3] - middle
            here, there = centres[0, axis] - middle, centres[1, axis] - middle
            here += first[index] * (place - here)
            there += second[index] * (place - there)
            apart, one, other = apart + (here - there) ** 2, one + here * here, other + there * there
        differences[found] = 2 * np.sqrt(apart) / (np.sqrt(one) + np.sqrt(other))
        found += 1
    return found


@compile_loop(
    INT,
    read_array(F32, 2),
    read_array(F32, 2),
    read_array(F64, 2),
    INT,
    INT,
    F64,
    F64,
    written_array(F64, 1),
    written_array(F64, 1),
)
def look_up(
    depth: Floats,
    other: Floats,
    to_other: Doubles,
    first: int,
    stride: int,
    cap_m: float,
    hidden: float,
    moved: Doubles,
    predicted: Doubles,
) -> int:
    """Depths of one view as another view has them, beside what is predicted there; how many are in both.

    depth: every `stride`-th pixel of every `stride`-th row is taken, from `first` on. to_other: (3, 4) from
    depth * (u, v, 1) to depth * pixels of `other`, (h, w). Only depths below cap_m count, and moved ones up to `hidden`
    times the predicted one.
    """
    found = 0
    for v in range(first, depth.shape[0], stride):
        for u in range(first, depth.shape[1], stride):
            d = np.float64(depth[v, u])
            if not d < cap_m:
                continue
            x = d * (to_other[0, 0] * u + to_other[0, 1] * v + to_other[0, 2]) + to_other[0, 3]
            y = d * (to_other[1, 0] * u + to_other[1, 1] * v + to_other[1, 2]) + to_other[1, 3]
            z = d * (to_other[2, 0] * u + to_other[2, 1] * v + to_other[2, 2]) + to_other[2, 3]
            if not z > 0:
                continue
            column, row = np.rint(x / z), np.rint(y / z)
            if not (0 <= column < other.shape[1] and 0 <= row < other.shape[0]):
                continue
            there = np.float64(other[int(row), int(column)])
            if there < cap_m and z <= hidden * there:
                moved[found], predicted[found] = z, there
                found += 1
    return found
