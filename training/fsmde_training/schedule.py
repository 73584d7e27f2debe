"""The learning rate of every training here: one cycle over its steps or, where time ends it, over that time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

RISE = 0.0999
"""Share of the training over which the rate rises; with 0.1, OneCycleLR divides by zero in runs of ten steps."""
START = 1 / 25
"""Of the highest rate, at the beginning: OneCycleLR's default."""


def one_cycle(trainer: L.Trainer, optimizer: Optimizer, rates: Sequence[float]) -> dict[str, Any]:
    """What `configure_optimizers` returns; rates: the highest of each parameter group.

    With `trainer.max_time` the rate follows the clock, so that it is down when the time is up, on any machine.
    """
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, Timer)), None)  # type: ignore[attr-defined]
    schedule: LRScheduler
    if timer is None:
        steps = int(trainer.estimated_stepping_batches)
        schedule = OneCycleLR(optimizer, list(rates), total_steps=steps, pct_start=RISE)
    else:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        schedule = LambdaLR(optimizer, lambda _: rate_at(_elapsed_share(timer)))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_at(progress: float) -> float:
    """Share of the training that is done, 0 to 1 -> share of the highest rate: up from START and down to 0, cosines."""
    if progress < RISE:
        return START + (1 - START) * (1 - math.cos(math.pi * progress / RISE)) / 2
    return (1 + math.cos(math.pi * (min(progress, 1) - RISE) / (1 - RISE))) / 2


def _elapsed_share(timer: Timer) -> float:
    """Of the training's time; 0 before it begins."""
    elapsed, left = timer.time_elapsed(), timer.time_remaining()
    return 0.0 if left is None else elapsed / (elapsed + left)
