"""Losses: zero where they should be, larger when wrong, and blind to what they promise to ignore."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsmde_training.losses import bin_negative_log_likelihood, log_gradient, relative_error, silog

DEPTH = torch.tensor([2.0, 5.0, 11.0, 40.0])


def test_silog_by_hand() -> None:
    g = torch.log(torch.tensor([1.1, 1.3]))
    expected = 10 * math.sqrt((g.square().mean() - 0.85 * g.mean().square()).item() + 1e-6) - 0.01
    assert silog(torch.tensor([11.0, 26.0]), torch.tensor([10.0, 20.0])).item() == pytest.approx(expected, rel=1e-5)


@given(scale=st.floats(0.2, 5.0))
def test_silog_of_a_common_scale_is_discounted_not_ignored(scale: float) -> None:
    whole = silog(scale * DEPTH, DEPTH, balance=0.0).item()
    assert silog(scale * DEPTH, DEPTH, balance=1.0).item() == pytest.approx(0, abs=0.005)
    expected = 10 * math.sqrt(0.15 * math.log(scale) ** 2 + 1e-6) - 0.01
    assert silog(scale * DEPTH, DEPTH).item() == pytest.approx(expected, rel=0.01, abs=0.005)
    assert whole >= silog(scale * DEPTH, DEPTH).item() - 1e-4


def test_silog_of_the_truth_is_zero_with_a_finite_gradient() -> None:
    depth = DEPTH.clone().requires_grad_()
    loss = silog(depth, DEPTH)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert depth.grad is not None and torch.isfinite(depth.grad).all()


def test_likelihood_prefers_the_bin_that_holds_the_truth_and_the_sharper_of_two() -> None:
    centres = torch.tensor([[1.0, 5.0, 25.0]])
    truth = torch.tensor([5.0])

    def nll(*p: float) -> float:
        return bin_negative_log_likelihood(torch.tensor([p]).log(), centres, truth).item()

    assert nll(0.01, 0.98, 0.01) < nll(0.2, 0.6, 0.2) < nll(0.49, 0.02, 0.49)
    assert nll(1e-9, 1.0, 1e-9) == pytest.approx(math.log(2 * 0.05), abs=1e-4)  # one Laplace kernel at its peak


def test_likelihood_is_a_density_of_log_depth() -> None:
    """exp(-nll) integrates to one over log depth."""
    log_depth = torch.linspace(-3, 8, 20001, dtype=torch.float64)
    logits, centres = torch.tensor([0.3, -1.0, 0.5]), torch.tensor([1.0, 5.0, 25.0])
    density = [
        math.exp(-bin_negative_log_likelihood(logits[None], centres[None], value.exp()[None]).item())
        for value in log_depth[::20]
    ]
    assert sum(density) * (log_depth[20] - log_depth[0]).item() == pytest.approx(1.0, abs=0.01)


def test_likelihood_moves_both_probabilities_and_centres() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    centres = torch.tensor([[1.0, 4.9, 25.0]], requires_grad=True)
    bin_negative_log_likelihood(logits, centres, torch.tensor([5.0])).backward()
    assert logits.grad is not None
    assert centres.grad is not None
    assert logits.grad[0, 1] < 0  # more probability where the truth is
    assert centres.grad[0, 1] < 0  # and its centre farther, towards 5 m


def test_gradient_ignores_scale_and_invalid_pixels_and_sees_edges() -> None:
    truth = torch.full((1, 4, 6), 10.0)
    truth[:, :, 3:] = 20.0
    truth[:, 0, 0] = float("nan")
    truth[:, 1, 0] = float("inf")
    assert log_gradient(1.7 * torch.nan_to_num(truth, 5.0, 5.0), truth).item() == pytest.approx(0.0, abs=1e-6)
    flat = torch.full((1, 4, 6), 10.0)
    pairs = (4 * 5 - 2) + (3 * 6 - 2)  # horizontal and vertical neighbours, both valid
    assert log_gradient(flat, truth).item() == pytest.approx(4 * math.log(2) / pairs, rel=1e-5)


def test_no_labels_give_zero_and_a_gradient() -> None:
    depth = torch.ones(0, requires_grad=True)
    assert silog(depth, torch.ones(0)).item() == 0
    logits = torch.zeros(0, 3, requires_grad=True)
    bin_negative_log_likelihood(logits, torch.ones(0, 3), torch.ones(0)).backward()
    image = torch.ones(1, 3, 3, requires_grad=True)
    log_gradient(image, torch.full((1, 3, 3), float("nan"))).backward()
    assert image.grad is not None


def test_relative_error_by_hand_and_its_lean_to_the_near_side() -> None:
    assert relative_error(torch.tensor([11.0, 15.0]), torch.tensor([10.0, 20.0])).item() == pytest.approx(0.175)
    two_depths = torch.tensor([5.0, 20.0])
    errors = [relative_error(torch.full((2,), guess), two_depths).item() for guess in (5.0, 10.0, 20.0)]
    assert errors[0] < errors[1] < errors[2]
    assert relative_error(torch.ones(0), torch.ones(0)).item() == 0
