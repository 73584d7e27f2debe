"""The student network: shapes and names of the encoder, its padding, bins that are a distribution, metric scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.binning import BinDistribution
from fsmde_training.networks.checkpoint import load_student
from fsmde_training.networks.decoder import WIDTHS
from fsmde_training.networks.mobilenet_v2 import MobileNetV2, SameConv2d
from fsmde_training.networks.student import Student

SIZE = (64, 96)


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    network = Student()
    torch.nn.init.normal_(
        network.bins.centres.seeds[-1].weight, std=0.5
    )  # as training leaves it: bins differ between images
    return network.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_encoder_uses_torchvision_names_without_batch_norm() -> None:
    state = MobileNetV2().state_dict()
    assert state["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert state["features.1.conv.0.0.weight"].shape == (32, 1, 3, 3)  # no expansion in the first block
    assert state["features.1.conv.1.weight"].shape == (16, 32, 1, 1)
    assert state["features.2.conv.0.0.weight"].shape == (96, 16, 1, 1)
    assert state["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    assert state["features.17.conv.2.weight"].shape == (320, 960, 1, 1)
    assert len(state) == 2 * 51  # 51 convolutions, each with a bias


def test_encoder_maps_have_the_strides_and_channels_the_decoder_expects() -> None:
    encoder = MobileNetV2()
    maps = encoder(torch.zeros(1, 3, 64, 96))
    assert [m.shape[2:] for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(m.shape[1] for m in maps) == encoder.channels


@pytest.mark.parametrize("size", [8, 7])
def test_stride_two_pads_as_tensorflow_same(size: int) -> None:
    """By the definition: output i sees inputs 2i - before .. 2i - before + 2, `before` = 0 (even size) or 1 (odd)."""
    layer = SameConv2d(1, 1, 3, 2)
    x = torch.randn(1, 1, size, size)
    before = 0 if size % 2 == 0 else 1
    expected = torch.zeros(-(-size // 2), -(-size // 2))
    weight, bias = layer.weight[0, 0], layer.bias
    for i in range(expected.shape[0]):
        for j in range(expected.shape[1]):
            for dy in range(3):
                for dx in range(3):
                    row, column = 2 * i - before + dy, 2 * j - before + dx
                    if 0 <= row < size and 0 <= column < size:
                        expected[i, j] = expected[i, j] + weight[dy, dx] * x[0, 0, row, column]
    torch.testing.assert_close(layer(x)[0, 0], expected + bias)


def test_imagenet_weights_fill_layers_in_network_order(tmp_path: Path) -> None:
    encoder = MobileNetV2()
    arrays = {}
    for number, layer in enumerate(m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)):
        arrays[f"{number:02d}.conv_2d.weight"] = np.full(layer.weight.shape, number, np.float16)
        arrays[f"{number:02d}.conv_2d.bias"] = np.full(layer.bias.shape, -number, np.float16)
    np.savez(tmp_path / "weights.npz", **arrays)
    encoder.load_imagenet(tmp_path / "weights.npz")
    assert encoder.features[0][0].weight.unique().tolist() == [0]
    assert encoder.features[2].conv[1][0].bias.unique().tolist() == [-4]
    assert encoder.features[17].conv[2].weight.unique().tolist() == [50]


def test_missing_or_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match="do not exist"):
        MobileNetV2().load_imagenet(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", **{"00.a.weight": np.zeros((8, 3, 3, 3)), "00.a.bias": np.zeros(8)})
    with pytest.raises(FsmdeError, match=r"layer 0 has shape \(8, 3, 3, 3\)"):
        MobileNetV2().load_imagenet(tmp_path / "other.npz")


def test_bins_are_a_distribution_over_increasing_centres(student: Student, images: torch.Tensor) -> None:
    bins = student.distribution(images)
    assert bins.logits.shape == (3, SIZE[0] // 4, SIZE[1] // 4, 64)
    torch.testing.assert_close(bins.probabilities.sum(-1), torch.ones(bins.logits.shape[:3]))
    centres = bins.centres.flatten(1)
    assert (centres.diff(dim=1) > 0).all()
    assert centres.min() > student.min_depth
    assert centres.max() < student.max_depth
    assert not torch.equal(centres[0], centres[1])  # chosen per image


def test_the_decoder_gives_four_maps_fine_to_coarse(student: Student, images: torch.Tensor) -> None:
    shapes = [tuple(level.shape) for level in student.pyramid(images)]
    assert shapes == [(3, c, SIZE[0] // s, SIZE[1] // s) for c, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)]


def test_estimates_of_a_distribution_by_hand() -> None:
    p = torch.tensor([0.1, 0.6, 0.3])
    centres = torch.tensor([2.0, 10.0, 40.0])
    bins = BinDistribution(p.log()[None, None, None], centres[None, None, None])
    depth, sigma = bins.moments()
    assert depth.item() == pytest.approx(2**0.1 * 10**0.6 * 40**0.3, rel=1e-5)
    mean = 0.1 * 2 + 0.6 * 10 + 0.3 * 40
    assert sigma.item() == pytest.approx(np.sqrt(0.1 * 4 + 0.6 * 100 + 0.3 * 1600 - mean**2), rel=1e-4)


def test_a_sure_pixel_has_one_depth_and_a_little_doubt_moves_it_little() -> None:
    centres = torch.tensor([2.0, 10.0, 40.0])[None, None, None]
    sure = BinDistribution(torch.tensor([-50.0, 50.0, -50.0])[None, None, None], centres)
    depth, sigma = sure.moments()
    assert depth.item() == pytest.approx(10)
    assert sigma.item() < 0.01
    many = torch.logspace(-0.3, 2.4, 64)  # 4 % spread over all bins, as early training leaves it
    p = torch.full((64,), 0.04 / 64)
    p[32] += 0.96
    doubting = BinDistribution(p.log()[None, None, None], many[None, None, None])
    assert doubting.moments()[0].item() == pytest.approx(many[32].item(), rel=0.02)
    assert (p * many).sum() > 1.08 * many[32]
    assert 1 / (p / many).sum() < 0.92 * many[32]


def test_depth_is_within_the_bins_and_scales_with_the_focal_length(student: Student, images: torch.Tensor) -> None:
    focal = torch.tensor([150.0, 300.0, 600.0])
    with torch.no_grad():
        depth, sigma = student(images, focal)
        twice, twice_sigma = student(images, 2 * focal)
    assert depth.shape == sigma.shape == (3, *SIZE)
    scale = (focal / student.focal_canonical)[:, None, None]
    assert (depth >= student.min_depth * scale).all()
    assert (depth <= student.max_depth * scale).all()
    assert (sigma > 0).all()
    torch.testing.assert_close(twice, 2 * depth)
    torch.testing.assert_close(twice_sigma, 2 * sigma)


def test_views_do_not_influence_each_other(student: Student, images: torch.Tensor) -> None:
    focal = torch.full((3,), 300.0)
    with torch.no_grad():
        together, _ = student(images, focal)
        alone, _ = student(images[1:2], focal[:1])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-3)


def test_depth_map_is_the_depth_of_the_bins_interpolated(student: Student, images: torch.Tensor) -> None:
    with torch.no_grad():
        bins = student.distribution(images)
        depth, _ = student(images, torch.full((3,), student.focal_canonical))
    coarse = bins.centres.pow(bins.probabilities).prod(-1)  # the geometric mean, without a logarithm
    expected = F.interpolate(coarse[:, None], size=SIZE, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-3)


def save_checkpoint(student: Student, path: Path, **switches: str) -> Path:
    """As training saves it; switches: what older versions stored as well."""
    weights = {f"student.{name}": value for name, value in student.state_dict().items()}
    settings = {"architecture": student.architecture | switches}
    torch.save({"state_dict": weights | {"other.weight": torch.ones(1)}, "hyper_parameters": settings}, path)
    return path


@pytest.mark.parametrize("switches", [{}, {"centres": "widths", "probabilities": "softmax"}], ids=["new", "old"])
def test_a_checkpoint_brings_back_the_student_of_its_kind(switches: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = Student(focal_canonical=150.0, bins=16)
    again = load_student(save_checkpoint(ours, tmp_path / "a.ckpt", **switches))
    assert again.architecture == ours.architecture
    torch.testing.assert_close(dict(again.state_dict()), dict(ours.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("switches", "kind"),
    [({"centres": "attractor"}, "attractor bins"), ({"probabilities": "log_binomial"}, "log-binomial bins")],
)
def test_a_checkpoint_of_bins_that_are_no_more_is_refused(switches: dict[str, str], kind: str, tmp_path: Path) -> None:
    path = save_checkpoint(Student(), tmp_path / "a.ckpt", **switches)
    message = rf"a\.ckpt was written with {kind}, which this version no longer has; train it anew"
    with pytest.raises(FsmdeError, match=message):
        load_student(path)


def test_a_checkpoint_without_a_student_is_named(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"none\.ckpt does not exist"):
        load_student(tmp_path / "none.ckpt")
    torch.save({"state_dict": {"teacher.weight": torch.ones(1)}, "hyper_parameters": {}}, tmp_path / "a.ckpt")
    with pytest.raises(FsmdeError, match="holds no student"):
        load_student(tmp_path / "a.ckpt")
