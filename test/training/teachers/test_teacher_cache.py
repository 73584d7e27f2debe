"""The teacher's outputs on disk: what is read is what it gave, and only what is missing is computed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmde_training.teachers import ProjectTeacher, Teacher, TeacherOutput, cached_outputs, fingerprint

COUNT, SHARD = 10, 4


class CountingTeacher(Teacher):
    """Gives maps that are known from the image's mean; counts images; may die after some."""

    channels = (1, 2, 3, 4)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen, self.limit = 0, 1000
        self.sizes: set[tuple[int, int] | None] = set()

    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> TeacherOutput:
        self.seen += len(images)
        self.sizes.add(size)
        if self.seen > self.limit:
            raise KeyboardInterrupt
        value = images.float().mean((1, 2, 3)) * self.weight
        height, width = size or tuple(images.shape[1:3])
        strides = zip(self.channels, (4, 8, 16, 32), strict=True)
        pyramid = tuple(value.view(-1, 1, 1, 1).expand(-1, c, height // s, width // s) + c for c, s in strides)
        return TeacherOutput(pyramid, -value.view(-1, 1, 1).expand(-1, height // 4, width // 4))


@pytest.fixture
def images(tmp_path: Path) -> NDArray[np.uint8]:
    """A memory map as training sets are; every image has its own grey level."""
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (COUNT, 32, 64, 3))
    images[:] = 10 * np.arange(COUNT, dtype=np.uint8)[:, None, None, None]
    return images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


def test_any_images_in_any_order_come_back(images: NDArray[np.uint8], folder: Path) -> None:
    outputs = cached_outputs(CountingTeacher(), images, folder, "key", shard=SHARD, batch=3)
    indices = np.array([9, 0, 5, 5])
    pyramid, relative = outputs.pyramid(indices), outputs.relative(indices)
    grey = torch.tensor([90.0, 0, 50, 50])
    for level, channels, stride in zip(pyramid, CountingTeacher.channels, (4, 8, 16, 32), strict=True):
        assert level.shape == (4, channels, 32 // stride, 64 // stride)
        assert level.dtype == torch.float32
        assert (level == grey[:, None, None, None] + channels).all()
    assert relative.shape == (4, 8, 16)
    assert (relative == -grey[:, None, None]).all()
    stored = np.load(next(folder.glob("00000-*.npy")), mmap_mode="r")
    assert {stored[name].dtype for name in stored.dtype.names} == {np.dtype(np.float16)}


def test_what_is_there_is_not_computed_again(images: NDArray[np.uint8], folder: Path) -> None:
    teacher = CountingTeacher()
    cached_outputs(teacher, images, folder, "key", shard=SHARD)
    cached_outputs(teacher, images, folder, "key", shard=SHARD)
    assert teacher.seen == COUNT


def test_a_killed_run_goes_on_at_the_missing_shard(images: NDArray[np.uint8], folder: Path) -> None:
    dying = CountingTeacher()
    dying.limit = 6
    with pytest.raises(KeyboardInterrupt):
        cached_outputs(dying, images, folder, "key", shard=SHARD, batch=2)
    assert len(list(folder.glob("*.npy"))) == 1
    assert len(list(folder.glob("*.partial"))) == 1
    teacher = CountingTeacher()
    outputs = cached_outputs(teacher, images, folder, "key", shard=SHARD, batch=2)
    assert teacher.seen == COUNT - SHARD
    assert not list(folder.glob("*.partial"))
    assert (outputs.relative(np.arange(COUNT))[:, 0, 0] == -10 * torch.arange(COUNT)).all()


def test_a_changed_image_is_computed_again_with_its_shard_only(images: NDArray[np.uint8], folder: Path) -> None:
    teacher = CountingTeacher()
    cached_outputs(teacher, images, folder, "key", shard=SHARD)
    images[5] = 200
    outputs = cached_outputs(teacher, images, folder, "key", shard=SHARD)
    assert teacher.seen == COUNT + SHARD
    assert outputs.relative(np.array([5, 6]))[:, 0, 0].tolist() == [-200, -60]
    assert len(list(folder.iterdir())) == 3  # the file it replaces is gone


@pytest.mark.parametrize("change", ["key", "size", "fewer"])
def test_another_checkpoint_size_or_set_is_never_mixed_in(images: NDArray[np.uint8], folder: Path, change: str) -> None:
    teacher = CountingTeacher()
    cached_outputs(teacher, images, folder, "key", size=(32, 64), shard=SHARD)
    views = images[1:] if change == "fewer" else images
    size = (64, 128) if change == "size" else (32, 64)
    outputs = cached_outputs(teacher, views, folder, "new" if change == "key" else "key", size=size, shard=SHARD)
    assert teacher.seen == COUNT + len(views)
    assert teacher.sizes == {(32, 64), size}
    assert outputs.relative(np.array([0])).shape == (1, size[0] // 4, size[1] // 4)
    assert outputs.relative(np.array([1]))[0, 0, 0] == -float(views[1].mean())


def test_values_beyond_half_precision_stay_finite(images: NDArray[np.uint8], folder: Path) -> None:
    teacher = CountingTeacher()
    teacher.weight.data *= 1e4
    outputs = cached_outputs(teacher, images, folder, "key")
    assert outputs.relative(np.array([9])).min() == -65504
    assert outputs.pyramid(np.array([9]))[0].max() == 65504


def test_workers_get_paths_and_no_data(images: NDArray[np.uint8], folder: Path) -> None:
    outputs = cached_outputs(CountingTeacher(), images, folder, "key", shard=SHARD)
    outputs.relative(np.arange(COUNT))
    assert len(pickle.dumps(outputs)) < 2000
    again = pickle.loads(pickle.dumps(outputs))
    torch.testing.assert_close(again.relative(np.array([3])), outputs.relative(np.array([3])))


def test_the_fingerprint_follows_the_weights_alone() -> None:
    widths = (8, 8, 8, 8, 8)
    torch.manual_seed(0)
    one, other = ProjectTeacher(widths), ProjectTeacher(widths)
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other.freeze())
    other.depth_head.bias.data += 1e-3
    assert fingerprint(one) != fingerprint(other)


def test_a_real_teacher_reads_back_within_half_precision(folder: Path) -> None:
    torch.manual_seed(0)
    teacher = ProjectTeacher((8, 8, 12, 16, 16)).freeze()
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=np.uint8)
    outputs = cached_outputs(teacher, images, folder, fingerprint(teacher), shard=2)
    expected = teacher(torch.from_numpy(images))
    indices = np.arange(3)
    torch.testing.assert_close(outputs.pyramid(indices), expected.pyramid, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(outputs.relative(indices), expected.relative, rtol=2e-3, atol=2e-3)
