"""Filling of lidar labels: what it gives, and where it must give nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_training.sets import cache
from fsmde_training.sets.densify import densify, densify_set
from fsmde_training.sets.labels import label_ring, with_sweeps


def test_a_plane_is_filled_exactly_and_no_further_than_the_radius() -> None:
    depth = np.full((40, 60), np.nan, np.float32)
    depth[10:22:4, 8:30:4] = 12.5
    rgb = np.full((40, 60, 3), 90, np.uint8)
    dense = densify(rgb, depth, radius=4)
    np.testing.assert_allclose(dense[10:19, 8:29], 12.5, rtol=1e-5)
    known = np.isfinite(dense)
    assert not known[:6].any()
    assert not known[23:].any()
    assert not known[:, 33:].any()
    assert not known[6, 6]  # within 4 rows, but further than 4 pixels away
    assert known[6, 8]


def test_what_lies_half_way_is_interpolated_in_inverse_depth() -> None:
    depth = np.full((9, 9), np.nan, np.float32)
    depth[4, 2], depth[4, 6] = 10.0, 11.0
    dense = densify(np.zeros((9, 9, 3), np.uint8), depth)
    assert dense[4, 4] == pytest.approx(2 / (1 / 10 + 1 / 11))


def test_nothing_is_mixed_over_an_edge() -> None:
    depth = np.full((20, 40), np.nan, np.float32)
    depth[::3, :20:3], depth[::3, 20::3] = 5.0, 30.0
    flat = np.full((20, 40, 3), 100, np.uint8)
    dense = densify(flat, depth)
    assert np.isin(dense[np.isfinite(dense)].round(3), [5.0, 30.0]).mean() > 0.9
    assert np.isnan(dense[:, 19:21]).sum() > 20  # near the edge nobody knows
    two_tone = flat.copy()
    two_tone[:, 20:] = 220
    seen = densify(two_tone, depth)
    assert np.isfinite(seen).sum() > np.isfinite(dense).sum()
    np.testing.assert_allclose(seen[:, :19], 5.0, rtol=1e-3)
    np.testing.assert_allclose(seen[:, 21:38], 30.0, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 0.5))
def test_labels_stay_and_fills_lie_between_their_neighbours(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 80, (24, 32)).astype(np.float32)
    depth[rng.random(depth.shape) > share] = np.nan
    depth[:3], depth[-3:] = np.inf, cache.HIDDEN
    dense = densify(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), depth)
    known = ~np.isnan(depth)
    np.testing.assert_array_equal(dense[known], depth[known])
    filled = dense[~known & np.isfinite(dense)]
    measured = depth[np.isfinite(depth)]
    assert not np.isinf(dense[3:-3]).any()
    if filled.size:
        assert measured.min() * 0.999 <= filled.min()
        assert filled.max() <= measured.max() * 1.001


def test_a_densified_set_has_more_labels_of_the_same_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth = np.repeat(np.linspace(60, 4, 64, dtype=np.float32)[:, None], 64, axis=1)
    rgb = np.repeat((255 * (1 - depth / 64)).astype(np.uint8)[..., None], 3, axis=2)
    depth[rng.random(depth.shape) > 0.1] = np.nan
    cache.save(tmp_path / "sparse", [(rgb, depth, 60.0), (rgb[:, ::-1], depth[:, ::-1], 50.0)], 2, 64, 64)
    densify_set(tmp_path / "sparse", tmp_path / "dense")
    sparse, dense = cache.load(tmp_path / "sparse"), cache.load(tmp_path / "dense")
    np.testing.assert_array_equal(dense.images, sparse.images)
    np.testing.assert_array_equal(dense.focal, sparse.focal)
    assert np.isfinite(dense.depth).sum() > 3 * np.isfinite(sparse.depth).sum()


@pytest.mark.data
def test_real_returns_that_were_held_out_come_back(pandaset_root: Path) -> None:
    rng = np.random.default_rng(0)
    (swept,) = with_sweeps([PandaSetSource(pandaset_root).frame(0)])
    errors, grown = [], []
    for rgb, labels, _focal in label_ring(swept, 672, 384):
        depth = labels.astype(np.float32)
        held_out = np.isfinite(depth) & (rng.random(depth.shape) < 0.2)
        filled = densify(rgb, np.where(held_out, np.float32(np.nan), depth))
        errors.append(np.abs(filled[held_out] / depth[held_out] - 1))
        grown.append(np.isfinite(filled).sum() / np.isfinite(depth).sum())
    error = np.concatenate(errors)
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmean(error) < 0.01
    assert min(grown) > 2.5
