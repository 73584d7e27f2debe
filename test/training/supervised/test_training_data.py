"""What training sees: crops whose metres and focal length agree, mirrored rings, sky and hidden points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_training.sets import cache
from fsmde_training.sets.labels import SweptFrame, label_ring, sky_mask, visible, with_sweeps
from fsmde_training.supervised.augment import Augmentation, augment, crop_zoom, damage, flip_ring, jitter_colour
from fsmde_training.supervised.data import TrainingViews

HEIGHT, WIDTH = 96, 160


def plane_view() -> tuple[np.ndarray, np.ndarray, float]:
    """Red and green code column and row; depth too, so that every pixel knows where it came from."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    return rgb, (1 + columns + 1000 * rows).astype(np.float32), 120.0


@given(seed=st.integers(0, 10_000), zoom=st.floats(0.8, 2.0), stretch=st.floats(0.9, 1.1))
def test_crops_keep_image_depth_and_focal_length_together(seed: int, zoom: float, stretch: float) -> None:
    rgb, depth, focal = plane_view()
    size = (64, 96)
    out, metres, pixels = crop_zoom(rgb, depth, focal, (zoom * stretch, zoom), size, np.random.default_rng(seed))
    assert out.shape == (*size, 3)
    assert metres.shape == size
    assert np.isin(metres, depth).all()  # zooming changes no depth
    columns, rows = (metres - 1) % 1000, (metres - 1) // 1000
    assert np.abs(columns - out[..., 0]).max() <= 1.5  # and depth sits on the pixel it belongs to
    assert np.abs(rows - out[..., 1]).max() <= 1.5
    slope = (columns[:, -1] - columns[:, 0]).mean() / (size[1] - 1)  # source columns per column of the crop
    assert pixels == pytest.approx(focal / slope, rel=0.03)


def test_augmentation_is_reproducible_and_varies() -> None:
    rgb, depth, focal = plane_view()

    def draw(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
        return augment(rgb, depth, focal, Augmentation(), (64, 96), 1.0, np.random.default_rng(seed))

    for ours, again in zip(draw(3), draw(3), strict=True):
        np.testing.assert_array_equal(ours, again)
    focals = [draw(seed)[2] for seed in range(30)]
    assert min(focals) < 0.9 * focal < 1.3 * focal < max(focals)


def test_mirroring_a_view_twice_gives_it_back() -> None:
    rgb, depth, focal = plane_view()
    still = {"zoom": (1.0, 1.0), "aspect": 0.0, "colour": 0.0, "damage": 0.0}
    size = (HEIGHT, WIDTH)
    mirrored = augment(rgb, depth, focal, Augmentation(flip=1.0, **still), size, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored[0], rgb[:, ::-1])
    np.testing.assert_array_equal(mirrored[1], depth[:, ::-1])
    plain = augment(rgb, depth, focal, Augmentation(flip=0.0, **still), size, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(plain[0], rgb)


def test_colour_changes_stay_in_range_and_leave_the_input_alone() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = rgb.copy()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        out = damage(jitter_colour(rgb, 1.0, rng), 1.0, rng)
        assert out.dtype == np.uint8
        assert out.shape == rgb.shape
        assert not np.array_equal(out, rgb)
    np.testing.assert_array_equal(rgb, before)


def test_a_mirrored_ring_runs_the_other_way() -> None:
    ring = np.arange(6 * 2 * 3).reshape(6, 2, 3)
    flipped = flip_ring(ring)
    order = [0, 5, 4, 3, 2, 1]  # front, then what was left of it is now right of it
    np.testing.assert_array_equal(flipped, ring[order][:, :, ::-1])
    np.testing.assert_array_equal(flip_ring(flipped), ring)
    # A thing at the right border of view v continues at the left border of view v + 1, before and after.
    for v in range(6):
        right, left = ring[v, :, -1], ring[(v + 1) % 6, :, 0]
        new_left_view = next(u for u in range(6) if (flipped[u, :, -1] == left).all())
        assert (flipped[(new_left_view + 1) % 6, :, 0] == right).all()


def test_training_draws_labelled_pixels_only(tmp_path: Path) -> None:
    rgb, depth, focal = plane_view()
    depth[:, 5:] = np.nan
    depth[:8, :5] = np.inf
    depth[-8:] = cache.HIDDEN
    blank = np.full_like(depth, np.nan)
    blank[0] = cache.HIDDEN
    views = cache.TrainingSet(np.stack([rgb, rgb]), np.stack([depth, blank]), np.full(2, focal, np.float32))
    settings = Augmentation(zoom=(1.0, 1.0), aspect=0.0)
    dataset = TrainingViews(views, settings, (HEIGHT, WIDTH), network_width=WIDTH, pixels=100)
    item = dataset[0]
    drawn = item["depth"].flatten()[item["pixels"]]
    assert (drawn > -torch.inf).all() and drawn.isposinf().any()
    assert item["depth"].isneginf().any()
    assert (dataset[1]["pixels"] == -1).all()
    torch.testing.assert_close(item["focal"], torch.tensor(focal))


def test_points_behind_something_near_are_dropped() -> None:
    depth = np.full((40, 60), np.nan, np.float32)
    depth[10, 10] = 8.0
    depth[12, 13] = 11.0  # same thing
    depth[13, 12] = 30.0  # seen over it
    depth[30, 50] = 30.0  # on its own
    kept = visible(depth)
    assert np.isnan(kept[13, 12])
    assert kept[10, 10] == 8
    assert kept[12, 13] == 11
    assert kept[30, 50] == 30


def test_sky_is_what_is_smooth_above_the_returns() -> None:
    rgb = np.full((64, 96, 3), (120, 150, 190), np.uint8)
    rgb[:, 60:] = (190, 180, 160)  # a brown wall up to the top
    rgb[:, 80:] = (100, 110, 125)  # a facade in the shade, as bluish as the sky
    rgb[40:] = (90, 90, 100)
    depth = np.full((64, 96), np.nan, np.float32)
    depth[36::4, ::4] = 15.0
    mask = sky_mask(rgb, depth)
    assert mask[:25, 10:50].all()
    assert not mask[:, 62:].any()
    assert not mask[34:].any()


@pytest.mark.data
def test_facades_of_a_real_ring_are_no_sky_but_its_sky_is(nuscenes_root: Path) -> None:
    ring = next(with_sweeps(NuScenesSource(nuscenes_root).frames()))
    depth = {name: sample[1] for name, sample in zip(ring.frame.rig.names, label_ring(ring, 448, 256), strict=True)}
    share = {name: float(np.isinf(metres).mean()) for name, metres in depth.items()}
    assert share["front"] > 0.15
    assert share["front_right"] > 0.07
    assert [name for name in share if share[name]] == ["front", "front_right"]
    assert not any(np.isinf(metres).any() for _, metres, _ in label_ring(SweptFrame(ring.frame, ()), 448, 256))
