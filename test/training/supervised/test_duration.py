"""How long a training will take, said once, after its first batches."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning")

from fsmde_training.sets import cache
from fsmde_training.supervised.augment import Augmentation
from fsmde_training.supervised.data import ViewsDataModule
from fsmde_training.supervised.duration import DurationEstimate, duration_line

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (100, "100 batches of 2.00 s make an epoch of 0:03:20; 3 epochs will take about 0:10:00, without validation"),
        (5, "5 batches of 2.00 s make an epoch of 0:00:10; 3 epochs will take about 0:00:30, without validation"),
        (2, "2 batches of 2.00 s make an epoch of 0:00:04; 3 epochs will take about 0:00:12, without validation"),
        (1, "1 batches of 30.00 s make an epoch of 0:00:30; 3 epochs will take about 0:01:30, without validation"),
    ],
)
def test_estimate_is_that_of_the_batches_after_the_first(
    batches: int, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first batch takes 30 s, every other one 2 s; two of five epochs are done."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    trainer: Any = SimpleNamespace(num_training_batches=batches, max_epochs=5, current_epoch=2)
    estimate = DurationEstimate()
    with caplog.at_level(logging.INFO):
        estimate.on_train_start(trainer)
        for number in range(3 * batches):
            now += 2.0 if number else 30.0
            estimate.on_train_batch_end(trainer)
    assert [record.message for record in caplog.records] == [said]


def test_training_without_an_end_says_what_an_epoch_takes() -> None:
    assert duration_line(0.5, 7400, None) == (
        "7400 batches of 0.50 s make an epoch of 1:01:40; no number of epochs is set (--trainer.max_epochs)"
    )


def test_epoch_is_as_long_as_the_sets_unless_asked_for(tmp_path: Path) -> None:
    for name, count in (("small", 6), ("large", 30)):
        image, depth = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float16)
        cache.save(tmp_path / name, [(image, depth, 50.0)] * count, count, 64, 64)

    def batches(**options: Any) -> int:
        data = ViewsDataModule(
            tmp_path, validation=[], augmentation=Augmentation(), crop=(64, 64), network_width=64, workers=0, **options
        )
        return len(data.train_dataloader())

    assert batches(train={"small": 0.5, "large": 0.5}, batch_size=4) == 9
    assert batches(train={"small": 1.0}, batch_size=16) == 1
    assert batches(train={"small": 1.0}, batch_size=4, samples=40) == 10
