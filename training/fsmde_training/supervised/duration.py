"""Says in one line how long a training will take, as its first batches show."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

WARM_UP, MEASURED = 3, 8
"""Batches: those that also load, compile and allocate, then those that are timed."""


class DurationEstimate(Callback):
    """Times batches of a run's beginning, once, and says what all batches that are still to come will take."""

    def __init__(self) -> None:
        self._seen = 0
        self._begin = 0.0

    def on_train_start(self, *_: Any) -> None:
        self._begin = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._seen += 1
        batches = int(trainer.num_training_batches)
        warm_up = min(WARM_UP, batches - 1)
        timed = min(MEASURED, batches - warm_up)
        if self._seen == warm_up:
            self._begin = time.monotonic()
        elif self._seen == warm_up + timed:
            seconds = (time.monotonic() - self._begin) / timed
            rank_zero_info(duration_line(seconds, batches, _epochs_left(trainer)))


def _epochs_left(trainer: L.Trainer) -> int | None:
    return None if trainer.max_epochs in (None, -1) else trainer.max_epochs - trainer.current_epoch  # type: ignore[operator]


def duration_line(seconds: float, batches: int, epochs: int | None) -> str:
    """Put an estimate in one line.

    Args:
        seconds: Of one batch.
        batches: Of one epoch.
        epochs: That are to come; None for no end.

    Returns:
        The line, with durations in h:mm:ss.
    """
    epoch = f"{batches} batches of {seconds:.2f} s make an epoch of {_clock(seconds * batches)}"
    if epochs is None:
        return f"{epoch}; no number of epochs is set (--trainer.max_epochs)"
    return f"{epoch}; {epochs} epochs will take about {_clock(seconds * batches * epochs)}, without validation"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
