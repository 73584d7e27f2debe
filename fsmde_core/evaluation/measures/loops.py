"""Compiles the loops of scoring: each makes one pass where NumPy would write every intermediate result to memory.

The modules that call them say what the numbers mean. M is the number of pixels or points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsmde_core.compiled import BOOL, F32, F64, INT, NOTHING, U8, compile_loop, inline, read_array, written_array

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_INTS, _F32S, _F64S = read_array(INT, 1), read_array(F32, 1), read_array(F64, 1)
_F32_MAP, _F64S_OUT = read_array(F32, 2), written_array(F64, 1)
_1 = np.float32(1)


@compile_loop(NOTHING, _INTS, written_array(U8, 1), written_array(BOOL, 1))
def mark_last(cell: Ints, occupied: NDArray[np.uint8], last: NDArray[np.bool_]) -> None:
    # occupied: one bit per number, all 0 before. last: (M,), written.
    for index in range(cell.size - 1, -1, -1):
        byte, bit = cell[index] >> 3, 1 << (cell[index] & 7)
        last[index] = not occupied[byte] & bit
        occupied[byte] |= bit


@inline
def _neighbours(index: int, step: float, size: int) -> tuple[int, int, np.float32]:
    """Return the two of `size` inputs between which an output pixel lies, and the second one's weight."""
    position = min(max((index + 0.5) * step - 0.5, 0.0), size - 1.0)
    first = int(position)
    return first, min(first + 1, size - 1), np.float32(position - first)


@compile_loop(NOTHING, _F32_MAP, _INTS, _INTS, INT, INT, written_array(F32, 1))
def sample_bilinear(values: Floats, row: Ints, column: Ints, height: int, width: int, samples: Floats) -> None:
    # Resizes (h, w) values to height x width, but at the (M,) pixels row, column only. samples: (M,), written.
    rows, columns = values.shape
    step_down, step_across = rows / height, columns / width
    for index in range(row.size):
        top, bottom, down = _neighbours(row[index], step_down, rows)
        left, right, across = _neighbours(column[index], step_across, columns)
        upper = values[top, left] * (_1 - across) + values[top, right] * across
        lower = values[bottom, left] * (_1 - across) + values[bottom, right] * across
        samples[index] = upper * (_1 - down) + lower * down


@compile_loop(NOTHING, _F32S, _F32S, written_array(INT, 1))
def find_bands(truth: Floats, edges: Floats, band: Ints) -> None:
    # Counts for each pixel the rising edges that are not above its true depth. band: (M,), written.
    for index in range(truth.size):
        count = 0
        for edge in edges:
            count += truth[index] >= edge
        band[index] = count


@compile_loop(NOTHING, _F64S, _F64S, _F64S, _F64S, _INTS, written_array(F64, 2))
def add_errors(
    truth: Doubles, prediction: Doubles, ratio: Doubles, log_ratio: Doubles, cell: Ints, sums: Doubles
) -> None:
    # ratio: (M,) the larger over the smaller of the two depths. cell: (M,) rows of sums, (cells, TERMS), added to.
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


@compile_loop(NOTHING, _F64S, _F64S, written_array(F64, 2))
def add_to_bins(position: Doubles, values: Doubles, histogram: Doubles) -> None:
    # position: (M,) in bins; what lies beyond falls into the outermost ones, NaN into the last.
    # histogram: (2, BINS) numbers and sums of the values, added to.
    last = histogram.shape[1] - 1
    for index in range(position.size):
        number = int(max(position[index], 0.0)) if position[index] < last else last
        histogram[0, number] += 1
        histogram[1, number] += values[index]


@inline
def _rescale(coordinate: float, scale: float, size: int) -> int:
    """Return the nearest pixel of the same view at another scale."""
    return int(min(max(np.rint((coordinate + 0.5) * scale - 0.5), 0.0), size - 1.0))


@compile_loop(NOTHING, _F64S, _F64S, _F32S, F64, F64, written_array(F32, 2))
def find_nearest(u: Doubles, v: Doubles, z: Floats, scale_u: float, scale_v: float, nearest: Floats) -> None:
    # nearest: a coarse grid over the view, lowered to the least depth in each cell. scale_u, scale_v: grid over view.
    rows, columns = nearest.shape
    for index in range(z.size):
        row, column = _rescale(v[index], scale_v, rows), _rescale(u[index], scale_u, columns)
        nearest[row, column] = min(nearest[row, column], z[index])


@compile_loop(NOTHING, _INTS, _F64S, _F64S, _F32S, _F32_MAP, _F32_MAP, F64, F64, F32, F32, _F64S_OUT)
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
    # u, v, z: (M,) in the view of width x height. depth, nearest: the same view at other sizes.
    # ratios: predicted over true depth, written at `point` where both count; the rest is left as it is.
    for index in range(z.size):
        row = _rescale(v[index], nearest.shape[0] / height, nearest.shape[0])
        column = _rescale(u[index], nearest.shape[1] / width, nearest.shape[1])
        if z[index] >= cap_m or z[index] > hidden * nearest[row, column]:
            continue
        row = _rescale(v[index], depth.shape[0] / height, depth.shape[0])
        column = _rescale(u[index], depth.shape[1] / width, depth.shape[1])
        if np.isfinite(depth[row, column]):
            ratios[point[index]] = depth[row, column] / z[index]


@compile_loop(INT, _F32_MAP, read_array(F64, 2), _F64S, _F64S, read_array(F64, 2), _F64S_OUT)
def compare_moved(
    points: Floats, T_world_points: Doubles, first: Doubles, second: Doubles, centres: Doubles, differences: Doubles
) -> int:
    # first, second: (N,) predicted over true depth of each camera, NaN where a point does not count. centres: (2, 3).
    # differences: (N,), written from the beginning; returns how many.
    count = 0
    for index in range(first.size):
        if np.isnan(first[index]) or np.isnan(second[index]):
            continue
        x, y, z = np.float64(points[index, 0]), np.float64(points[index, 1]), np.float64(points[index, 2])
        apart = norm_a = norm_b = 0.0
        for axis in range(3):
            T = T_world_points[axis]
            middle = (centres[0, axis] + centres[1, axis]) / 2
            position = T[0] * x + T[1] * y + T[2] * z + T[3] - middle
            a, b = centres[0, axis] - middle, centres[1, axis] - middle
            a += first[index] * (position - a)
            b += second[index] * (position - b)
            apart, norm_a, norm_b = apart + (a - b) ** 2, norm_a + a * a, norm_b + b * b
        differences[count] = 2 * np.sqrt(apart) / (np.sqrt(norm_a) + np.sqrt(norm_b))
        count += 1
    return count


@compile_loop(INT, _F32_MAP, _F32_MAP, read_array(F64, 2), INT, INT, F64, F64, _F64S_OUT, _F64S_OUT)
def reproject(
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
    # Takes every `stride`-th pixel of every `stride`-th row of `depth` from `first` on. to_other: (3, 4) from
    # (depth * (u, v, 1), 1) to depth * (u, v, 1) of `other`, (h, w). Only depths below cap_m count, and moved ones up
    # to `hidden` times the predicted one. moved, predicted: written from the beginning; returns how many.
    count = 0
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
                moved[count], predicted[count] = z, there
                count += 1
    return count
