"""Distillation losses: what holds for all of them, then each by hand. Relations between views: test_view_relations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fsmde_core.errors import FsmdeError
from fsmde_training.losses import (
    ckd_centres,
    ckd_probability,
    depth_kd,
    fitnets,
    rkd,
    silog,
    vrkd_affinity,
)

Loss = Callable[[Tensor, Tensor], Tensor]
RING = (2, 6, 5, 4, 7)
# Each loss of (student, teacher), with a shape that fits both.
AGREEMENT: dict[str, tuple[Loss, tuple[int, ...]]] = {
    "ckd_probability": (ckd_probability, (9, 8)),
    "ckd_probability_warm": (partial(ckd_probability, temperature=4.0), (9, 8)),
    "vrkd_affinity": (vrkd_affinity, RING),
    "depth_kd": (lambda student, teacher: depth_kd(student, torch.exp(-teacher)), (2, 4, 7)),
    "fitnets": (fitnets, (2, 5, 4, 7)),
    "rkd": (rkd, (6, 5)),
}
all_losses = pytest.mark.parametrize(("loss", "shape"), AGREEMENT.values(), ids=AGREEMENT)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixture(seed: int) -> tuple[Tensor, Tensor]:
    """Probabilities and increasing centres of 7 pixels with 5 bins."""
    return torch.softmax(random(7, 5, seed=seed), 1), torch.exp(random(7, 5, seed=seed + 1)).cumsum(1)


def optimise(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int = 60) -> tuple[float, float]:
    """The loss before and after some steps of Adam on its argument."""
    value = start.clone().requires_grad_()
    adam = torch.optim.Adam([value], lr=0.03)
    for _ in range(steps):
        adam.zero_grad()
        loss(value).backward()
        adam.step()
    return loss(start).item(), loss(value).item()


@all_losses
def test_zero_where_teacher_and_student_agree_and_positive_elsewhere(loss: Loss, shape: tuple[int, ...]) -> None:
    teacher = random(*shape)
    assert loss(teacher.clone(), teacher).item() == pytest.approx(0, abs=1e-6)
    assert loss(random(*shape, seed=1), teacher).item() > 1e-3


@all_losses
def test_the_student_learns_and_the_teacher_does_not(loss: Loss, shape: tuple[int, ...]) -> None:
    student, teacher = random(*shape, seed=1).requires_grad_(), random(*shape).requires_grad_()
    loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None or not teacher.grad.any()
    before, after = optimise(lambda value: loss(value, teacher.detach()), student.detach())
    assert after < 0.7 * before


@all_losses
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_computed_in_single_precision(loss: Loss, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    student, teacher = random(*shape, seed=1).to(dtype), random(*shape).to(dtype)
    expected = loss(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = loss(student, teacher.float())
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(expected.item(), rel=1e-5)


@all_losses
def test_constant_inputs_and_no_inputs_give_finite_gradients(loss: Loss, shape: tuple[int, ...]) -> None:
    for size in (shape, (0, *shape[1:])):
        student = torch.zeros(size, requires_grad=True)
        value = loss(student, random(*size))
        value.backward()
        assert value.isfinite()
        assert student.grad is not None
        assert student.grad.isfinite().all()
        assert student.grad.abs().max().item() < 1e3 if student.numel() else value.item() == 0


@all_losses
def test_shapes_that_do_not_match_are_refused(loss: Loss, shape: tuple[int, ...]) -> None:
    with pytest.raises(FsmdeError, match="for the student"):
        loss(random(*shape), random(1, *shape[1:]))


def test_probabilities_by_hand_with_temperature() -> None:
    """Logits 2 log 3 and 0 against equal ones at temperature 2: (3/4, 1/4) against (1/2, 1/2), times 2^2."""
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]])
    assert ckd_probability(student, teacher, temperature=2.0).item() == pytest.approx(4 * divergence, rel=1e-5)
    forward, backward = ckd_probability(student, teacher).item(), ckd_probability(teacher, student).item()
    assert abs(forward - backward) > 0.05  # teacher to student, not the other way


def test_metric_scale_comes_from_the_truth_through_the_centres() -> None:
    """Under (b) the centres of a student off by any factor find the scale: probabilities alone cannot."""
    probabilities, centres = mixture(0)
    target = torch.exp((probabilities * torch.log(centres)).sum(1))
    floor = silog(target, target).item()
    assert ckd_centres(probabilities, centres, target).item() == pytest.approx(floor, abs=1e-5)
    before, after = optimise(lambda x: ckd_centres(probabilities, centres * x.exp(), target), torch.tensor(1.5))
    assert before > 5
    assert after < 0.5


def test_probabilities_times_centres_by_hand() -> None:
    """Half of 2 m and half of 8 m is 4 m in log depth."""
    half, centres, target = torch.full((1, 2), 0.5), torch.tensor([[2.0, 8.0]]), torch.tensor([5.0])
    expected = silog(torch.tensor([4.0]), target).item()
    assert ckd_centres(half, centres, target).item() == pytest.approx(expected, rel=1e-5)


def test_only_centres_learn_in_b() -> None:
    target = torch.linspace(2, 9, 7)
    probabilities, centres = (x.requires_grad_() for x in mixture(0))
    ckd_centres(probabilities, centres, target).backward()
    assert probabilities.grad is None or not probabilities.grad.any()
    assert centres.grad is not None
    assert centres.grad.all()


def test_bins_against_the_truth_without_labels_and_in_half_precision() -> None:
    empty = torch.ones(0, 5, requires_grad=True)
    value = ckd_centres(empty, empty, torch.ones(0))
    value.backward()
    assert value.item() == 0
    with pytest.raises(FsmdeError, match="bins"):
        ckd_centres(torch.ones(3, 5), torch.ones(3, 4), torch.ones(3))
    half = [x.bfloat16() for x in (*mixture(0), torch.linspace(2, 9, 7))]
    assert ckd_centres(*half).item() == ckd_centres(*(x.float() for x in half)).item()


@given(scale=st.floats(0.05, 50.0), shift=st.floats(-5.0, 5.0))
def test_depth_distillation_ignores_the_teachers_scale_and_shift(scale: float, shift: float) -> None:
    log_depth, relative = random(2, 4, 6), random(2, 4, 6, seed=1)
    expected = depth_kd(log_depth, relative).item()
    assert depth_kd(log_depth, scale * relative + shift).item() == pytest.approx(expected, rel=1e-3)
    agreeing = scale * torch.exp(-log_depth) + shift
    assert depth_kd(log_depth + math.log(7), agreeing).item() == pytest.approx(0, abs=1e-3)
    assert depth_kd(log_depth, -agreeing).item() > 0.5  # nearer and farther swapped


def test_depth_distillation_by_hand() -> None:
    """Inverse depths 1, 2, 4 are (-1, 0, 2) around their median, 1 on average; 0, 1, 2 are (-1, 0, 1), 2/3."""
    student, teacher = -torch.log(torch.tensor([[[1.0, 2.0, 4.0]]])), torch.tensor([[[0.0, 1.0, 2.0]]])
    assert depth_kd(student, teacher).item() == pytest.approx((abs(-1 + 1.5) + 0 + abs(2 - 1.5)) / 3, rel=1e-5)


def test_feature_distillation_is_relative_to_the_teachers_scale() -> None:
    student, teacher = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    assert fitnets(torch.zeros_like(teacher), teacher).item() == pytest.approx(1, rel=1e-5)
    assert fitnets(50 * student, 50 * teacher).item() == pytest.approx(fitnets(student, teacher).item(), rel=1e-4)
    assert fitnets(torch.tensor([[[[3.0]]]]), torch.tensor([[[[2.0]]]])).item() == pytest.approx(1 / 4)


def test_relations_of_three_points_by_hand() -> None:
    """Sides 3, 4, 5 are 3/4, 1, 5/4 of their mean, against an equilateral triangle; smooth L1 of d is d^2 / 2."""
    right = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    equal = torch.tensor([[0.0, 0.0, 9.0], [2.0, 0.0, 9.0], [1.0, math.sqrt(3), 9.0]])
    distance = (0.25**2 / 2 + 0 + 0.25**2 / 2) / 3
    angle = sum((cosine - 0.5) ** 2 / 2 for cosine in (0.0, 3 / 5, 4 / 5)) / 3
    assert rkd(right, equal, 1.0, 0.0).item() == pytest.approx(distance, rel=1e-4)
    assert rkd(right, equal, 0.0, 1.0).item() == pytest.approx(angle, rel=1e-4)
    assert rkd(right, equal).item() == pytest.approx(distance + 2 * angle, rel=1e-4)


def test_relations_are_blind_to_similarity_transforms_and_need_two_vectors() -> None:
    student, teacher = random(6, 5), random(6, 3, seed=1)
    rotation = torch.linalg.qr(random(5, 5, seed=2)).Q
    assert rkd(4 * student @ rotation + 7, teacher).item() == pytest.approx(rkd(student, teacher).item(), rel=1e-4)
    for few in (0, 1, 2):
        vectors = random(few, 5).requires_grad_()
        value = rkd(vectors, random(few, 3))
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)


def test_vectors_that_coincide_have_no_wild_gradient() -> None:
    vectors = random(4, 5)
    vectors[1] = vectors[0]
    vectors.requires_grad_()
    rkd(vectors, random(4, 5, seed=1)).backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().max() < 10
