"""Makes procedural materials, each one tile of (512, 512, 4) float32 in [0, 1].

Red, green and blue are factors of the surface's own colour; the fourth channel is the coverage of cut-out surfaces
(leaves, fences) and the gloss of closed ones (window panes, paint).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIZE = 512
Tile = NDArray[np.float32]
Y, X = (np.mgrid[0:SIZE, 0:SIZE] / SIZE).astype(np.float32)


def fractal_noise(rng: Generator, beta: float, low: float = 1.0, stretch: float = 1.0) -> Tile:
    # mean 0, deviation 1, power spectrum f^-beta above `low` cycles per tile; a stretch above 1 lays the pattern down
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None] * SIZE / stretch, np.fft.rfftfreq(SIZE) * SIZE * stretch)
    amplitude = np.where(frequency >= low, np.maximum(frequency, 0.1) ** (-beta / 2), 0)
    noise = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape)), s=(SIZE, SIZE))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def tile(grey: NDArray, tint: NDArray | None = None, fourth: NDArray | float = 0.0) -> Tile:
    # grey: (512, 512), factor of all colours; tint: (512, 512, 3), factor of each; fourth: coverage or gloss
    rgb = grey[..., None] * (np.ones(3) if tint is None else tint)
    last = np.broadcast_to(np.asarray(fourth, np.float32), grey.shape)[..., None]
    return np.clip(np.concatenate([rgb, last], axis=2), 0, 1).astype(np.float32)


def _hues(noise: Tile, amount: float) -> NDArray:
    return 1 + amount * noise[..., None] * np.array([1.0, 0.3, -0.6])


def plain(rng: Generator) -> Tile:
    return tile(0.93 + 0.025 * fractal_noise(rng, 1.8), None, 0.0)


def paint(rng: Generator) -> Tile:
    return tile(0.95 + 0.01 * fractal_noise(rng, 1.8), None, 0.3)


def asphalt(rng: Generator) -> Tile:
    cracks = np.abs(fractal_noise(rng, 2.2)) < 0.012
    grey = 0.72 + 0.09 * fractal_noise(rng, 0.4, low=24) + 0.05 * fractal_noise(rng, 2.0) - 0.2 * cracks
    return tile(grey, _hues(fractal_noise(rng, 2.5), 0.015))


def paving(rng: Generator) -> Tile:
    joints = (Y % 0.5 < 0.01) | (X % 0.5 < 0.01)
    slabs = np.kron(rng.uniform(-0.06, 0.06, (2, 2)), np.ones((256, 256)))
    return tile(0.8 + slabs + 0.05 * fractal_noise(rng, 1.2, low=4) + 0.05 * fractal_noise(rng, 2.2) - 0.3 * joints)


def grass(rng: Generator) -> Tile:
    patches = fractal_noise(rng, 2.4)
    return tile(0.6 + 0.2 * fractal_noise(rng, 0.8, low=8, stretch=0.7) + 0.1 * patches, _hues(patches, 0.14))


def soil(rng: Generator) -> Tile:
    return tile(
        0.7 + 0.1 * fractal_noise(rng, 0.9, low=6) + 0.1 * fractal_noise(rng, 2.2), _hues(fractal_noise(rng, 2.2), 0.08)
    )


def plaster(rng: Generator) -> Tile:
    return tile(0.85 + 0.03 * fractal_noise(rng, 0.8, low=8) + 0.06 * fractal_noise(rng, 2.4, stretch=0.6))


def brick(rng: Generator, rows: int = 32, columns: int = 12) -> Tile:
    # running bond: `rows` courses of `columns` stones per tile
    course = np.floor(Y * rows).astype(int)
    along = X * columns + 0.5 * (course % 2)
    mortar = (Y * rows - course > 0.86) | (along % 1 > 0.93)
    stone = rng.uniform(-1, 1, (rows, columns))[course, along.astype(int) % columns]
    tint = _hues(stone.astype(np.float32), 0.12)
    tint[mortar] = (1.1, 1.25, 1.35)
    return tile(0.62 + 0.12 * stone + 0.05 * fractal_noise(rng, 1.0), tint)


def siding(rng: Generator) -> Tile:
    """Make horizontal boards: lap siding, shutters, garage doors."""
    phase = Y * 16 % 1
    return tile(0.9 - 0.45 * (phase > 0.86) - 0.1 * phase + 0.04 * fractal_noise(rng, 1.8, stretch=2))


def corrugated(rng: Generator) -> Tile:
    return tile(0.8 + 0.13 * np.sin(2 * np.pi * 24 * X) + 0.06 * fractal_noise(rng, 2.2, stretch=0.5))


def shingles(rng: Generator) -> Tile:
    row = np.floor(Y * 24)
    edge = (Y * 24 - row > 0.8) | ((X * 24 + 0.5 * (row % 2)) % 1 > 0.9)
    return tile(0.75 - 0.25 * edge + 0.08 * fractal_noise(rng, 1.4))


def bark(rng: Generator) -> Tile:
    return tile(0.6 + 0.2 * fractal_noise(rng, 1.2, low=4, stretch=0.4))


def leaves(rng: Generator, low: float, coverage: float) -> Tile:
    # clumps of `low` cycles per tile cover the given fraction of it
    clumps, detail = fractal_noise(rng, 2.4, low=low), fractal_noise(rng, 0.6, low=24)
    shape = clumps + 0.15 * detail
    light = np.clip(0.6 + 0.17 * clumps + 0.2 * detail, 0.08, 1)
    return tile(light, _hues(fractal_noise(rng, 1.5), 0.12), shape > np.quantile(shape, 1 - coverage))


def twigs(rng: Generator) -> Tile:
    """Make bare branches: the contour lines of two noises."""
    lines = (np.abs(fractal_noise(rng, 3.0, low=2)) < 0.05) | (np.abs(fractal_noise(rng, 3.2, low=2)) < 0.06)
    return tile(0.7 + 0.15 * fractal_noise(rng, 1.0), None, lines)


def wheel(rng: Generator) -> Tile:
    radius, angle = np.hypot(X - 0.5, Y - 0.5), np.arctan2(Y - 0.5, X - 0.5)
    spokes = (np.cos(5 * angle) > -0.2) | (radius < 0.1)
    return tile(np.where(radius < 0.31, np.where(spokes, 0.85, 0.12), 0.06))


def car_glass(rng: Generator) -> Tile:
    """Make the side of a car's cabin: two panes between pillars; a factor of the paint."""
    pane = (np.minimum(Y, 1 - Y) > 0.1) & (np.abs(X - 0.5) > 0.035) & (np.minimum(X, 1 - X) > 0.07)
    return tile(np.where(pane, 0.06 + 0.05 * Y, 0.9), None, 0.3 + 0.6 * pane)


def windscreen(rng: Generator) -> Tile:
    pane = (np.minimum(Y, 1 - Y) > 0.08) & (np.minimum(X, 1 - X) > 0.06)
    return tile(np.where(pane, 0.07 + 0.05 * Y, 0.9), None, 0.3 + 0.6 * pane)


def car_side(rng: Generator) -> Tile:
    doors = np.min([np.abs(X - x) for x in (0.3, 0.52, 0.72)], axis=0) < 0.004
    handles = (np.abs(Y - 0.3) < 0.025) & (np.min([np.abs(X - x) for x in (0.36, 0.57)], axis=0) < 0.025)
    return tile(0.95 - 0.6 * (doors & (Y < 0.8)) - 0.5 * handles - 0.5 * (Y > 0.88), None, 0.3)


def bus_side(rng: Generator) -> Tile:
    pane = (Y > 0.14) & (Y < 0.52) & (np.abs((X * 7) % 1 - 0.5) < 0.44)
    return tile(np.where(pane, 0.06, 0.92 - 0.3 * (np.abs(Y - 0.62) < 0.03)), None, 0.2 + 0.7 * pane)


def bars(rng: Generator) -> Tile:
    """Make an iron fence: a cut-out of 16 bars per tile between two rails."""
    solid = ((X * 16) % 1 < 0.25) | (np.abs(Y - 0.1) < 0.025) | (np.abs(Y - 0.88) < 0.025)
    return tile(np.full_like(X, 0.8), None, solid)


def pickets(rng: Generator) -> Tile:
    solid = (((X * 10) % 1 < 0.62) & (0.2 * np.abs((X * 10) % 1 - 0.31) < Y)) | (np.abs(Y - 0.3) < 0.05)
    return tile(0.8 + 0.08 * fractal_noise(rng, 1.5, stretch=0.5), None, solid)


def kerb(rng: Generator) -> Tile:
    """Make the black and white kerb stones of some countries."""
    return tile(np.where(X < 0.5, 0.9, 0.12) + 0.05 * fractal_noise(rng, 1.5))


def poster(rng: Generator) -> Tile:
    """Make coloured blocks and words: billboards, shop signs, lorry sides."""
    page = np.full((SIZE, SIZE, 3), rng.integers(80, 255, 3), np.uint8)
    for _ in range(4):
        x, y, w, h = rng.integers((0, 0, 60, 40), (400, 400, 300, 200))
        page[y : y + h, x : x + w] = rng.integers(10, 255, 3)
    for row in range(3):
        ink = tuple(int(c) for c in rng.integers(0, 100, 3))
        word = "".join(chr(c) for c in rng.integers(65, 91, 8))
        cv2.putText(page, word, (15, 150 + 150 * row), cv2.FONT_HERSHEY_DUPLEX, rng.uniform(1.5, 3.2), ink, 6)
    return tile(np.ones_like(X), page / 255)


def clouds(rng: Generator) -> Tile:
    return tile(0.5 + 0.2 * fractal_noise(rng, 2.6, low=2))


def facade(rng: Generator) -> Tile:
    """Make four floors of four bays: windows of one to three panes in one of the walls above."""
    wall = [plaster, brick, siding, plaster, corrugated][rng.integers(5)](rng)
    height, width = rng.uniform(0.4, 0.75), rng.choice([rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.9)])
    frame, panes, has_sill = rng.uniform(0.4, 1.0), int(rng.integers(1, 4)), rng.random() < 0.6
    h, w = int(height * 128), int(width * 128)
    for floor in range(4):
        for bay in range(4):
            top, left = int((floor + 0.47 - height / 2) * 128), int((bay + 0.5 - width / 2) * 128)
            wall[top - 4 : top + h + 4, left - 4 : left + w + 4] = (frame, frame, frame, 0)
            wall[top : top + h, left : left + w] = _window(rng, h, w, frame, panes)
            if has_sill:
                wall[top + h + 2 : top + h + 9, left - 6 : left + w + 6] = (0.95, 0.95, 0.95, 0)
    wall[-rng.integers(3, 14) :, :, :3] *= rng.uniform(0.6, 1.1)
    return np.clip(wall, 0, 1)


def _window(rng: Generator, h: int, w: int, frame: float, panes: int) -> Tile:
    glass = np.linspace(0.06, 0.16, h, dtype=np.float32)[:, None, None] * rng.uniform(0.5, 1.6)
    window = np.tile(glass, (1, w, 4))
    window[..., 3] = 0.9
    if rng.random() < 0.35:
        window[: int(h * rng.uniform(0.2, 0.9))] = (0.6, 0.58, 0.5, 0.3)
    for bar in range(1, panes):
        window[:, bar * w // panes - 2 : bar * w // panes + 2] = (frame, frame, frame, 0)
    return window


def curtain_wall(rng: Generator) -> Tile:
    """Make a glass front: panes of slightly different tint between thin frames."""
    bays, floors = int(rng.choice([8, 12, 16])), int(rng.choice([8, 16]))
    glass = rng.uniform(0.1, 0.3, (floors, bays))[(Y * floors).astype(int), (X * bays).astype(int)]
    frame = ((X * bays) % 1 < 0.07) | ((Y * floors) % 1 < rng.uniform(0.06, 0.3))
    colour = np.where(frame[..., None], 1.0, np.array([0.75, 0.95, 1.1]))
    return tile(np.where(frame, 0.7, glass), colour, 0.95 * ~frame)


def shopfront(rng: Generator) -> Tile:
    """Make one ground floor of four bays: doors, display windows, shutters, and signs above."""
    front = plaster(rng)
    for bay in range(4):
        kind, left = rng.integers(4), bay * 128
        if kind == 0:
            front[150:, left + 8 : left + 120] = 0.8 * siding(rng)[150:, :112]
        else:
            base = 500 if kind == 1 else 430
            front[130:base, left + 8 : left + 120] = (*rng.uniform(0.04, 0.25, 3), 0.8)
            front[130:base, left + 62 : left + 66] = (0.3, 0.3, 0.3, 0)
        if rng.random() < 0.7:
            front[50:110, left + 12 : left + 112] = poster(rng)[::7, ::5][:60, :100]
    return front
