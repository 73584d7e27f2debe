"""View-relational distillation: what it must not see (where the ring begins, mirroring), and what it must."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fsmde_training.losses import vrkd_affinity
from fsmde_training.supervised.augment import flip_ring


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def flip(maps: Tensor) -> Tensor:
    """`augment.flip_ring` of every sample of maps (B, V, C, h, w)."""
    channels_last = maps.permute(0, 1, 3, 4, 2).numpy()
    return torch.from_numpy(np.stack([flip_ring(views) for views in channels_last])).permute(0, 1, 4, 2, 3)


@settings(deadline=None)
@given(views=st.integers(2, 7), turn=st.integers(1, 6), seed=st.integers(0, 1000))
def test_blind_to_where_the_ring_begins_and_to_mirroring(views: int, turn: int, seed: int) -> None:
    """Student and teacher with different channels and sizes, neither a multiple of the token grid."""
    student, teacher = random(2, views, 3, 6, 11, seed=seed), random(2, views, 5, 9, 16, seed=seed + 1)
    expected = vrkd_affinity(student, teacher).item()
    rolled = vrkd_affinity(student.roll(turn, 1), teacher.roll(turn, 1)).item()
    assert rolled == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert vrkd_affinity(flip(student), flip(teacher)).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_sees_the_order_of_the_views() -> None:
    student, teacher = random(2, 6, 3, 4, 7), random(2, 6, 3, 4, 7, seed=1)
    shuffled = [0, 2, 4, 1, 3, 5]
    assert abs(vrkd_affinity(student[:, shuffled], teacher[:, shuffled]) - vrkd_affinity(student, teacher)) > 1e-3


def test_blind_to_the_basis_and_scale_of_the_features() -> None:
    teacher = random(2, 6, 5, 4, 7)
    basis = torch.linalg.qr(random(8, 5, seed=2)).Q  # five channels into eight, angles kept
    student = 3 * torch.einsum("kc,bvchw->bvkhw", basis, teacher)
    assert vrkd_affinity(student, teacher).item() == pytest.approx(0, abs=1e-6)


def test_fewer_than_two_views_give_zero_and_a_gradient() -> None:
    student = random(2, 1, 3, 4, 7).requires_grad_()
    value = vrkd_affinity(student, random(2, 1, 5, 4, 7))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None


def test_views_that_coincide_have_no_wild_gradient() -> None:
    maps = random(1, 6, 3, 4, 7)
    maps[:, 1] = maps[:, 0]
    maps.requires_grad_()
    vrkd_affinity(maps, random(1, 6, 3, 4, 7, seed=1)).backward()
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


def test_affinity_is_of_the_pooled_grid() -> None:
    student, teacher = random(1, 3, 3, 4, 8), random(1, 3, 5, 4, 8, seed=1)
    pooled = [torch.nn.functional.avg_pool2d(maps[0], 2)[None] for maps in (student, teacher)]
    expected = vrkd_affinity(pooled[0], pooled[1]).item()
    assert vrkd_affinity(student, teacher, grid=(2, 4)).item() == pytest.approx(expected, rel=1e-5)
