"""The learning rate over steps and over time, and the first stage of the student's weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Timer

from fsmde_training.encoder import SlimEncoder
from fsmde_training.mobilenet_v2 import MobileNetV2
from fsmde_training.schedule import RISE, START, one_cycle, rate_at
from fsmde_training.slim import imitation_error, piecewise


class Clock(Timer):
    """A timer of 100 seconds that is told the time."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__(duration={"seconds": 100})

    def time_elapsed(self, stage: object = None) -> float:
        return self.now

    def time_remaining(self, stage: object = None) -> float:
        return 100 - self.now


def optimizer() -> torch.optim.SGD:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 1.0}])


def test_the_rate_rises_then_falls_to_nothing() -> None:
    assert rate_at(0) == pytest.approx(START)
    assert rate_at(RISE) == pytest.approx(1)
    assert rate_at(RISE / 2) == pytest.approx((1 + START) / 2)
    assert rate_at((1 + RISE) / 2) == pytest.approx(0.5)
    assert rate_at(1) == pytest.approx(0, abs=1e-9)
    assert rate_at(1.2) == pytest.approx(0, abs=1e-9)


def test_the_clock_sets_the_rate_where_time_ends_the_training() -> None:
    clock, chosen = Clock(), optimizer()
    schedule = one_cycle(SimpleNamespace(callbacks=[clock]), chosen, [0.1, 1.0])["lr_scheduler"]["scheduler"]
    for seconds in (0.0, 5.0, 40.0, 100.0):
        clock.now = seconds
        chosen.step()
        schedule.step()
        expected = rate_at(seconds / 100)
        assert [group["lr"] for group in chosen.param_groups] == pytest.approx([0.1 * expected, expected])


def test_steps_set_the_rate_otherwise() -> None:
    chosen = optimizer()
    trainer = SimpleNamespace(callbacks=[], estimated_stepping_batches=50)
    schedule = one_cycle(trainer, chosen, [0.1, 1.0])["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(49):
        rates.append(chosen.param_groups[1]["lr"])
        chosen.step()
        schedule.step()
    assert rates[0] == pytest.approx(START)
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates[-1] < 0.01


def test_imitation_is_measured_in_shares_of_the_variance() -> None:
    theirs = torch.randn(2, 8, 4, 4)
    assert imitation_error([theirs], [theirs]).item() == 0
    mean = theirs.mean().expand_as(theirs)
    biased = theirs.var(correction=0) / theirs.var()
    assert imitation_error([mean, theirs], [theirs, theirs]).item() == pytest.approx(biased.item() / 2, rel=1e-5)


def test_pieces_are_the_whole_when_each_gets_what_the_one_before_gave() -> None:
    slim, x = SlimEncoder(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole = slim(x)
        for ours, theirs in zip(piecewise(slim, x, whole), whole, strict=True):
            torch.testing.assert_close(ours, theirs)
        full = MobileNetV2()(x)
        first, second, *_ = piecewise(slim, x, full)
        torch.testing.assert_close(first, whole[0])
        torch.testing.assert_close(second, slim.features[4:7](full[0]))
