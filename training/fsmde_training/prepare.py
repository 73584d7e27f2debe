"""Training sets from recordings and synthetic streets: python -m fsmde_training.prepare --out runs/cache"""

from __future__ import annotations

import os
from pathlib import Path

from jsonargparse import auto_cli
from rich.progress import track

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.locate import find_recording
from fsmde_core.sources.pandaset import PandaSetSource
from fsmde_training import cache
from fsmde_training.streets import CAMERAS, street_samples

FIRST_VALIDATION_FRAME = 40
"""PandaSet frames before it train, the rest validate."""
FIRST_SEED = 10_000
"""Streets of smaller seeds are for tests and demonstrations."""


def prepare(
    out: Path = Path("runs/cache"),
    streets: int = 80,
    size: tuple[int, int] = (672, 384),
    network_size: tuple[int, int] = (448, 256),
    processes: int = 0,
) -> None:
    """Write the sets `pandaset_train`, `pandaset_val`, `street_train` and `street_val` below `out`; those there stay.

    streets: synthetic streets to train on. size: (width, height) of real training images; network_size: of the others,
    the network's input. processes: for rendering; 0 takes one per CPU core.
    """
    if not (out / "pandaset_train" / "focal.npy").is_file():
        prepare_pandaset(out, size, network_size)
    for name, seeds in (
        ("street_train", range(FIRST_SEED, FIRST_SEED + streets)),
        ("street_val", range(2 * FIRST_SEED, 2 * FIRST_SEED + 4)),
    ):
        if (out / name / "focal.npy").is_file():
            continue
        count = CAMERAS * len(seeds)
        samples = street_samples(seeds, *network_size, processes or os.cpu_count() or 1)
        cache.save(out / name, track(samples, name, total=count), count, *network_size)


def prepare_pandaset(out: Path, size: tuple[int, int], network_size: tuple[int, int]) -> None:
    """Training and validation set of PandaSet sequence 002; validation has lidar labels only, at the network's size."""
    root = find_recording("pandaset_002")
    if root is None:
        raise FsmdeError("the recording pandaset_002 is neither in $FSMDE_DATA nor in ../shared/data")
    source = PandaSetSource(root)
    numbers = source.numbers
    train = [source.frame(i) for i, number in enumerate(numbers) if number < FIRST_VALIDATION_FRAME]
    held_out = [source.frame(i) for i, number in enumerate(numbers) if number >= FIRST_VALIDATION_FRAME]
    validation = [frame for frame in held_out if frame.lidar is not None]
    for name, frames, (width, height), sky in (
        ("pandaset_val", validation, network_size, False),
        ("pandaset_train", train, size, True),
    ):
        count = sum(len(frame.images) for frame in frames)
        samples = track(cache.lidar_samples(frames, width, height, sky), name, total=count)
        cache.save(out / name, samples, count, width, height)


if __name__ == "__main__":
    auto_cli(prepare)
