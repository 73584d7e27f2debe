"""The binning module: centres that stay in order, probabilities that are some, sharing, upsampling, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from fsmde_core.errors import FsmdeError
from fsmde_training.export import export
from fsmde_training.networks.binning import Binning, share_binning
from fsmde_training.networks.decoder import WIDTHS, Pyramid, upsample
from fsmde_training.networks.student import Student

RANGE = (0.5, 250.0)


def binning(seed: int = 0, scale: float = 0.3, bins: int = 64) -> Binning:
    """With weights as training might leave them: all of them random."""
    module = Binning(WIDTHS, bins, *RANGE)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=scale, generator=generator)
    return module


def features(seed: int = 1, views: int = 2) -> Pyramid:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.rand(views, c, 32 // s, 64 // s, generator=generator) for c, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.001, 30))
def test_whatever_the_weights_bins_are_in_order_and_probabilities_sum_to_one(seed: int, scale: float) -> None:
    with torch.no_grad():
        bins = binning(seed, scale)(features(seed))
    assert bins.logits.shape == (2, 8, 16, 64)
    assert bins.centres.shape == (2, 1, 1, 64)
    torch.testing.assert_close(bins.probabilities.sum(-1), torch.ones(2, 8, 16))
    assert (bins.centres.diff(dim=-1) > 0).all()
    assert RANGE[0] < bins.centres.min() and bins.centres.max() < RANGE[1]
    depth, sigma = bins.moments()
    rounding = 1 + 1e-5
    assert ((depth * rounding >= bins.centres.min()) & (depth <= bins.centres.max() * rounding)).all()
    assert torch.isfinite(sigma).all()


def test_untrained_bins_are_log_uniform() -> None:
    module = Binning(WIDTHS, 3, 1.0, 1000.0)
    centres = module(features(views=1)).centres
    torch.testing.assert_close(centres, torch.tensor([[[[10**0.5, 10**1.5, 10**2.5]]]]))


def test_widths_differ_between_images() -> None:
    centres = binning()(features()).centres
    assert not torch.equal(centres[0], centres[1])


def test_scaling_all_centres_leaves_the_probabilities() -> None:
    near = binning()
    far = Binning(WIDTHS, 64, 3 * RANGE[0], 3 * RANGE[1])
    far.load_state_dict(near.state_dict())
    bins, scaled = near(features()), far(features())
    assert torch.equal(bins.probabilities, scaled.probabilities)
    torch.testing.assert_close(scaled.centres, 3 * bins.centres)


def test_cells_are_picked_out_of_the_map() -> None:
    bins = binning()(features())
    view, row, column = torch.tensor([1, 0, 1]), torch.tensor([7, 0, 2]), torch.tensor([3, 15, 0])
    cells = bins.at(view, row, column)
    assert torch.equal(cells.logits[1], bins.logits[0, 0, 15])
    assert torch.equal(cells.centres, bins.centres[view, 0, 0])
    assert torch.equal(cells.log_mean(), bins.log_mean()[view, row, column])


@pytest.mark.parametrize("sharing", ["all", "none"])
def test_sharing_copies_everything_or_nothing(sharing: Any) -> None:
    student, teacher = (binning(seed) for seed in (2, 3))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    theirs = {name: value.clone() for name, value in teacher.state_dict().items()}
    share_binning(student, teacher, sharing)
    start = theirs if sharing == "all" else before
    for name, value in student.state_dict().items():
        assert torch.equal(value, start[name]), name
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    student(features()).log_mean().sum().backward()
    optimizer.step()
    assert all(torch.equal(value, theirs[name]) for name, value in teacher.state_dict().items())
    after = student.state_dict()
    assert not all(torch.equal(value, after[name]) for name, value in start.items())  # it goes on learning


def test_what_is_not_built_alike_cannot_be_shared() -> None:
    student = binning()
    with pytest.raises(FsmdeError, match="bins=64, of the teacher 32; make them equal"):
        share_binning(student, binning(bins=32), "all")
    with pytest.raises(FsmdeError, match="sharing 'half' is not known; use one of all, none"):
        share_binning(student, student, "half")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (32, 56)])
def test_upsampling_is_bilinear_interpolation(size: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, *size, requires_grad=True)
    expected = F.interpolate(maps, scale_factor=4.0, mode="bilinear", align_corners=False)
    found = upsample(maps)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    weights = torch.rand_like(expected)
    gradients = [torch.autograd.grad((result * weights).sum(), maps)[0] for result in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_upsampling_keeps_its_digits_in_mixed_precision() -> None:
    maps = torch.rand(1, 4, 4) * 100
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(upsample(maps), upsample(maps.double()))


class Backbone(nn.Module):
    """A pyramid of the right shapes, few layers to export; the whole student's export is tested elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(3, c, s, stride=s) for c, s in zip(WIDTHS, (4, 8, 16, 32), strict=True))

    def forward(self, x: Tensor) -> Pyramid:
        return tuple(F.relu(layer(x)) for layer in self.maps)


def test_bins_export(tmp_path: Path) -> None:
    """export compares with PyTorch itself; here once more, without its code."""
    torch.manual_seed(0)
    student = Student()
    student.encoder, student.decoder = Backbone(), nn.Identity()  # type: ignore[assignment]
    share_binning(student.bins, binning(), "all")
    path = tmp_path / "student.onnx"
    export(student.eval(), path, (64, 96))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    focal = np.array([200, 300, 400], np.float32)
    outputs = onnxruntime.InferenceSession(str(path)).run(None, {"images": images, "focal": focal})
    with torch.no_grad():
        expected = student(torch.from_numpy(images), torch.from_numpy(focal))
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3)
    assert expected[0].std() > 0.01
    _check_upsampling(onnx.load(path).graph)


def _check_upsampling(graph: onnx.GraphProto) -> None:
    """Two products for depth and two for sigma, their matrices stored: nothing to compute at run time."""
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul"]
    matrices = sorted(stored[name] for node in products for name in node.input if name in stored)
    assert matrices == [(24, 96), (24, 96), (64, 16), (64, 16)]
