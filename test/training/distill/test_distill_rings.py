"""Rings as training sees them: who keeps labels, how mirrors and seeds work, which process draws what."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.data import RingsDataModule, RingSet
from fsmde_training.distill.dataset import MixedRings, RingAugmentation, RingDraw, RingViews, mirror_maps
from fsmde_training.distill.sampler import RingSampler, Stratum, interleave
from fsmde_training.sets import cache
from fsmde_training.teachers import CachedOutputs

HEIGHT, WIDTH, VIEWS = 32, 64, 3
STILL = RingAugmentation(flip=0.0, colour=0.0, damage=0.0)
MIRROR = RingAugmentation(flip=1.0, colour=0.0, damage=0.0)


def image_set(rings: int, seed: int = 0) -> cache.TrainingSet:
    """Random images; depth in the lower half; the focal length counts the images."""
    rng = np.random.default_rng(seed)
    count = rings * VIEWS
    depth = rng.uniform(2, 50, (count, HEIGHT, WIDTH)).astype(np.float16)
    depth[:, : HEIGHT // 2] = np.nan
    images = rng.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return cache.TrainingSet(images, depth, np.arange(count, dtype=np.float32) + 100)


class FakeOutputs(CachedOutputs):
    """Maps whose values are image index and column."""

    def __init__(self) -> None:
        super().__init__([], 1)

    def pyramid(self, indices: np.ndarray) -> tuple[torch.Tensor, ...]:
        levels = []
        for stride in (4, 8, 16, 32):
            index = torch.from_numpy(indices).float()[:, None, None, None]
            level = (1000 * index + torch.arange(WIDTH // stride)).expand(-1, 2, HEIGHT // stride, -1)
            levels.append(level)
        return tuple(levels)

    def relative(self, indices: np.ndarray) -> torch.Tensor:
        return self.pyramid(indices)[0][:, 0]


def test_items_are_the_stored_rings() -> None:
    images = image_set(4)
    item = RingViews(images, STILL, pixels=50, views=VIEWS)[RingDraw(0, 2, (0, 0, 0))]
    stored = slice(2 * VIEWS, 3 * VIEWS)
    np.testing.assert_array_equal(item["images"], images.images[stored])
    np.testing.assert_array_equal(item["depth"], images.depth[stored].astype(np.float32))
    np.testing.assert_array_equal(item["focal"], images.focal[stored])
    assert item["ring"] == 2
    assert not item["mirrored"]
    assert item["pixels"].shape == (VIEWS, 50)
    assert torch.isfinite(item["depth"].flatten(1).gather(1, item["pixels"])).all()


@given(rings=st.integers(1, 60), data=st.data())
def test_labelled_rings_are_spread_evenly(rings: int, data: st.DataObject) -> None:
    labelled = data.draw(st.integers(0, rings))
    blank = np.zeros((rings * VIEWS, 1, 1), np.float16)
    images = cache.TrainingSet(np.zeros((rings * VIEWS, 1, 1, 3), np.uint8), blank, np.ones(rings * VIEWS, np.float32))
    chosen = RingViews(images, STILL, 1, labelled, VIEWS).labelled
    assert len(np.unique(chosen)) == labelled
    assert ((chosen >= 0) & (chosen < rings)).all()
    if labelled > 1:
        assert np.ptp(np.diff(chosen)) <= 1
        assert abs((chosen[0]) - (rings - 1 - chosen[-1])) <= 1


def test_rings_without_a_measured_depth_are_not_labelled() -> None:
    """One image with labels makes a ring labelled; what is asked for is spread over such rings."""
    images = image_set(5)
    has_depth = np.zeros(5 * VIEWS, bool)
    has_depth[[1 * VIEWS + 2, 3 * VIEWS, 4 * VIEWS]] = True
    images = dataclasses.replace(images, labelled=has_depth)
    assert RingViews(images, STILL, 5, views=VIEWS).labelled.tolist() == [1, 3, 4]
    assert RingViews(images, STILL, 5, labelled=1, views=VIEWS).labelled.tolist() == [3]
    with pytest.raises(FsmdeError, match="labelled=4, expected 0 to 3, the set's rings with labels"):
        RingViews(images, STILL, 5, labelled=4, views=VIEWS)


def test_unlabelled_rings_have_images_and_no_depth() -> None:
    views = RingViews(image_set(4), STILL, pixels=5, labelled=1, views=VIEWS)
    assert views.labelled.tolist() == [2]
    for ring in range(4):
        item = views[RingDraw(0, ring, (0, 0, 0))]
        assert item["depth"].isnan().all() == (ring != 2)
        assert (item["pixels"] == -1).all() == (ring != 2)


@pytest.mark.parametrize("augmentation", [STILL, MIRROR])
def test_what_is_hidden_is_told_of_labelled_and_unlabelled_rings(augmentation: RingAugmentation) -> None:
    images = image_set(2)
    images.depth[1::VIEWS, -8:, :10] = cache.HIDDEN
    views = RingViews(images, augmentation, pixels=500, labelled=1, views=VIEWS)
    hidden = torch.zeros(VIEWS, HEIGHT, WIDTH, dtype=torch.bool)
    hidden[1, -8:, :10] = True
    if augmentation is MIRROR:
        hidden = hidden[[0, 2, 1]].flip(2)
    for ring in range(2):
        item = views[RingDraw(0, ring, (0, 0, 0))]
        assert torch.equal(item["seen"], ~hidden)
        if ring in views.labelled:
            assert item["seen"].flatten(1).gather(1, item["pixels"]).all()


def test_a_mirrored_ring_and_its_teacher_maps_mirror_alike() -> None:
    images = image_set(2)
    plain = RingViews(images, STILL, 5, views=VIEWS, teacher=FakeOutputs())[RingDraw(0, 1, (0, 0, 0))]
    mirrored = RingViews(images, MIRROR, 5, views=VIEWS, teacher=FakeOutputs())[RingDraw(0, 1, (0, 0, 0))]
    order = [0, 2, 1]  # the ring runs the other way
    assert mirrored["mirrored"]
    np.testing.assert_array_equal(mirrored["images"], plain["images"][order].flip(2))
    np.testing.assert_array_equal(mirrored["depth"], plain["depth"][order].flip(2))
    np.testing.assert_array_equal(mirrored["focal"], plain["focal"][order])
    np.testing.assert_array_equal(mirrored["teacher"].relative, plain["teacher"].relative[order].flip(2))
    for seen, level in zip(mirrored["teacher"].pyramid, plain["teacher"].pyramid, strict=True):
        np.testing.assert_array_equal(seen, level[order].flip(3))
    np.testing.assert_array_equal(mirror_maps(mirror_maps(plain["depth"])), plain["depth"])


def test_augmentation_depends_on_the_draw_alone() -> None:
    views = RingViews(image_set(2), RingAugmentation(), 5, views=VIEWS)
    first = views[RingDraw(0, 1, (1, 2, 3))]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    again, other = views[RingDraw(0, 1, (1, 2, 3))], views[RingDraw(0, 1, (1, 2, 4))]
    for name in ("images", "depth", "pixels"):
        np.testing.assert_array_equal(first[name], again[name])
    assert not torch.equal(first["images"], other["images"])


def test_sets_that_do_not_fit_are_named() -> None:
    with pytest.raises(FsmdeError, match=r"12 images, expected a multiple of views=5"):
        RingViews(image_set(4), STILL, 5, views=5)
    with pytest.raises(FsmdeError, match=r"labelled=5, expected 0 to 4"):
        RingViews(image_set(4), STILL, 5, labelled=5, views=VIEWS)
    small = image_set(1)
    small = cache.TrainingSet(small.images[:, :16], small.depth[:, :16], small.focal)
    with pytest.raises(FsmdeError, match="expected one; prepare them at one size"):
        MixedRings([RingViews(image_set(1), STILL, 5, views=VIEWS), RingViews(small, STILL, 5, views=VIEWS)])


@given(shares=st.lists(st.floats(0.05, 10), min_size=1, max_size=4), count=st.integers(1, 200))
def test_every_stretch_of_the_order_has_about_its_shares(shares: list[float], count: int) -> None:
    order = interleave(shares, count)
    for number, share in enumerate(shares):
        expected = np.arange(1, count + 1) * share / sum(shares)
        assert np.abs(np.cumsum(order == number) - expected).max() < len(shares)


def sampler(processes: int = 1, rank: int = 0, batch_size: int = 2, samples: int = 24) -> RingSampler:
    rings = MixedRings([RingViews(image_set(9), STILL, 5, 3, VIEWS), RingViews(image_set(4), STILL, 5, 0, VIEWS)])
    strata = [
        Stratum(0, rings.sets[0].labelled, 0.5),
        Stratum(0, np.setdiff1d(np.arange(9), rings.sets[0].labelled), 0.25),
        Stratum(1, np.arange(4), 0.25),
    ]
    return RingSampler(rings, strata, samples, batch_size, 7, processes, rank)


def test_an_epoch_holds_every_stratum_by_its_share_and_no_ring_twice_before_its_time() -> None:
    draws = list(sampler())
    assert len(draws) == 24
    labelled = [draw.ring for draw in draws if draw.dataset == 0 and draw.ring in (1, 4, 7)]
    assert len(labelled) == 12
    for turn in range(4):
        assert sorted(labelled[3 * turn : 3 * turn + 3]) == [1, 4, 7]
    other = [draw.ring for draw in draws if draw.dataset == 1]
    assert sorted(other[:4]) == [0, 1, 2, 3]
    assert len({draw.key for draw in draws}) == 24


def test_epochs_differ_and_repeat() -> None:
    one = sampler()
    first, again = list(one), list(one)
    assert first == again
    one.set_epoch(1)
    assert [draw.ring for draw in one] != [draw.ring for draw in first]
    assert {draw.key for draw in one}.isdisjoint(draw.key for draw in first)


@pytest.mark.parametrize(("processes", "batch_size"), [(2, 2), (3, 1)])
def test_processes_together_draw_what_one_would(processes: int, batch_size: int) -> None:
    alone = np.array([draw.key[2] for draw in sampler(batch_size=processes * batch_size)])
    together = [[draw.key[2] for draw in sampler(processes, rank, batch_size)] for rank in range(processes)]
    steps = np.concatenate([np.reshape(part, (-1, batch_size)) for part in together], axis=1)
    np.testing.assert_array_equal(steps.ravel(), alone)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(FsmdeError, match=r"samples=3, expected at least 4"):
        sampler(processes=2, samples=3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("city", "street")):
        views = image_set(6, seed=number)
        samples = zip(views.images, views.depth, views.focal, strict=True)
        cache.save(tmp_path / name, samples, len(views), WIDTH, HEIGHT)
    return tmp_path


def batches(root: Path, workers: int) -> list[dict[str, torch.Tensor]]:
    train = {"city": RingSet(share=2.0, labelled=2), "street": RingSet(labelled=0)}
    data = RingsDataModule(
        root, train, ["city"], RingAugmentation(), views=VIEWS, samples=12, workers=workers, pixels=8
    )
    return list(data.train_dataloader())


def test_batches_mix_sets_and_do_not_depend_on_the_workers(root: Path) -> None:
    here, elsewhere = batches(root, workers=0), batches(root, workers=2)
    assert len(here) == 6
    for ours, theirs in zip(here, elsewhere, strict=True):
        assert ours["images"].shape == (2, VIEWS, HEIGHT, WIDTH, 3)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    labelled = sum(int((batch["pixels"] >= 0).all(2).all(1).sum()) for batch in here)
    assert labelled == 4  # two thirds of the draws are city, half of them labelled


def test_supervision_alone_draws_labelled_rings_only(root: Path) -> None:
    train = {"city": RingSet(labelled=2, labelled_share=1.0)}
    data = RingsDataModule(root, train, ["city"], RingAugmentation(), views=VIEWS, samples=12, workers=0, pixels=8)
    for batch in data.train_dataloader():
        assert set(batch["ring"].tolist()) <= {1, 4}
    with pytest.raises(FsmdeError, match=r"labelled_share=1\.5"):
        RingsDataModule(
            root, {"city": RingSet(labelled=2, labelled_share=1.5)}, [], RingAugmentation()
        ).train_dataloader()


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """A set of 1.5 GB, all holes on disk: an epoch of draws takes what its own few rings take."""
    count, height, width = 1200 * VIEWS, 256, 512
    folder = tmp_path / "large"
    folder.mkdir()
    np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, height, width, 3))
    np.lib.format.open_memmap(folder / "depth.npy", "w+", np.float16, (count, height, width))
    np.save(folder / "focal.npy", np.ones(count, np.float32))
    data = RingsDataModule(
        tmp_path, {"large": RingSet()}, [], STILL, batch_size=1, samples=8, views=VIEWS, workers=0, pixels=8
    )
    tracemalloc.start()
    try:
        rings = sum(len(batch["ring"]) for batch in data.train_dataloader())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ring = VIEWS * height * width * (3 + 4)  # bytes of colour and depth
    assert rings == 8
    assert peak < 6 * ring
