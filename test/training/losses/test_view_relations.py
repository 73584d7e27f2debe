"""View-relational distillation: what it must not see (where the ring begins, mirroring), and what it must."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fsmde_core.errors import FsmdeError
from fsmde_training.losses import vrkd_affinity, vrkd_borders, vrkd_relational
from fsmde_training.supervised.augment import flip_ring

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES = [vrkd_affinity, vrkd_relational, vrkd_borders]
all_losses = pytest.mark.parametrize("loss", LOSSES)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def flip(maps: Tensor) -> Tensor:
    """`augment.flip_ring` of every sample of maps (B, V, C, h, w)."""
    channels_last = maps.permute(0, 1, 3, 4, 2).numpy()
    return torch.from_numpy(np.stack([flip_ring(views) for views in channels_last])).permute(0, 1, 4, 2, 3)


@all_losses
@given(views=st.integers(2, 7), turn=st.integers(1, 6), seed=st.integers(0, 1000))
def test_blind_to_where_the_ring_begins_and_to_mirroring(loss: Loss, views: int, turn: int, seed: int) -> None:
    """Student and teacher with different channels and sizes, neither a multiple of the token grid."""
    student, teacher = random(2, views, 3, 6, 11, seed=seed), random(2, views, 5, 9, 16, seed=seed + 1)
    expected = loss(student, teacher).item()
    assert loss(student.roll(turn, 1), teacher.roll(turn, 1)).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert loss(flip(student), flip(teacher)).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@all_losses
def test_sees_the_order_of_the_views(loss: Loss) -> None:
    student, teacher = random(2, 6, 3, 4, 7), random(2, 6, 3, 4, 7, seed=1)
    shuffled = [0, 2, 4, 1, 3, 5]
    assert abs(loss(student[:, shuffled], teacher[:, shuffled]) - loss(student, teacher)) > 1e-3


@all_losses
def test_blind_to_the_basis_and_scale_of_the_features(loss: Loss) -> None:
    teacher = random(2, 6, 5, 4, 7)
    basis = torch.linalg.qr(random(8, 5, seed=2)).Q  # five channels into eight, angles kept
    student = 3 * torch.einsum("kc,bvchw->bvkhw", basis, teacher)
    assert loss(student, teacher).item() == pytest.approx(0, abs=1e-6)


@all_losses
def test_fewer_than_two_views_give_zero_and_a_gradient(loss: Loss) -> None:
    student = random(2, 1, 3, 4, 7).requires_grad_()
    value = loss(student, random(2, 1, 5, 4, 7))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None


@all_losses
def test_views_that_coincide_have_no_wild_gradient(loss: Loss) -> None:
    maps = random(1, 6, 3, 4, 7)
    maps[:, 1] = maps[:, 0]
    maps.requires_grad_()
    loss(maps, random(1, 6, 3, 4, 7, seed=1)).backward()
    assert maps.grad is not None
    assert maps.grad.abs().max() < 10


def test_two_views_have_one_edge() -> None:
    """What two views give is what the softmax of their own cosines gives, written out."""
    student, teacher = random(1, 2, 3, 2, 2), random(1, 2, 5, 2, 2, seed=1)

    def log_affinity(maps: Tensor) -> Tensor:
        first, second = (view.flatten(1).double() for view in maps[0])
        cosine = torch.einsum("cp,cq->pq", first, second) / torch.outer(first.norm(dim=0), second.norm(dim=0))
        return torch.stack([torch.log_softmax(cosine / 0.1, 1), torch.log_softmax(cosine.T / 0.1, 1)])

    known, seen = log_affinity(teacher), log_affinity(student)
    expected = (known.exp() * (known - seen)).sum(2).mean().item()
    assert vrkd_affinity(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_relations_of_a_square_of_views_by_hand() -> None:
    """A square against a rhombus of the same sides: distances agree, angles of 90 against 60 and 120 degrees."""
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    height = math.sqrt(3) / 2
    rhombus = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.5, height], [0.5, height]])
    student, teacher = (corners[None, :, :, None, None].expand(1, 4, 2, 2, 3) for corners in (square, rhombus))
    assert vrkd_relational(student, teacher, 1.0, 0.0).item() == pytest.approx(0, abs=1e-6)
    assert vrkd_relational(student, teacher).item() == pytest.approx(2 * 0.5**2 / 2, rel=1e-4)
    twice = student * torch.tensor([1.0, 2.0])[:, None, None]  # sides 1 and 2: 2/3 and 4/3 of their mean
    assert vrkd_relational(twice, student).item() == pytest.approx((1 / 3) ** 2 / 2, rel=1e-4)


def test_affinity_is_of_the_pooled_grid() -> None:
    student, teacher = random(1, 3, 3, 4, 8), random(1, 3, 5, 4, 8, seed=1)
    pooled = [torch.nn.functional.avg_pool2d(maps[0], 2)[None] for maps in (student, teacher)]
    expected = vrkd_affinity(pooled[0], pooled[1]).item()
    assert vrkd_affinity(student, teacher, grid=(2, 4)).item() == pytest.approx(expected, rel=1e-5)


def test_borders_are_the_affinities_of_the_strips_that_face_each_other() -> None:
    """Right third of every view against the left third of the view after it, and nothing of what lies between."""
    student, teacher = random(1, 6, 3, 4, 9).requires_grad_(), random(1, 6, 5, 4, 9, seed=1)

    def seam(maps: Tensor, view: int) -> Tensor:
        return torch.stack([maps[:, view, ..., 6:], maps[:, (view + 1) % 6, ..., :3]], dim=1)

    expected = sum(vrkd_affinity(seam(student, view), seam(teacher, view)).item() for view in range(6)) / 6
    value = vrkd_borders(student, teacher)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert student.grad is not None
    assert student.grad[..., :3].any()
    assert student.grad[..., 6:].any()
    assert not student.grad[..., 3:6].any()


def test_borders_as_wide_as_the_view_are_the_affinity_of_the_views() -> None:
    student, teacher = random(1, 6, 3, 4, 8), random(1, 6, 5, 4, 8, seed=1)
    expected = vrkd_affinity(student, teacher, grid=(2, 4)).item()
    assert vrkd_borders(student, teacher, fraction=1.0, grid=(2, 4)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fraction", [0.0, -0.2, 1.5])
def test_a_border_wider_than_the_view_is_refused(fraction: float) -> None:
    with pytest.raises(FsmdeError, match="fraction"):
        vrkd_borders(random(1, 2, 3, 4, 7), random(1, 2, 3, 4, 7), fraction=fraction)
