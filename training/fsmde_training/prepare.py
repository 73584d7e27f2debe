"""Training sets from recordings: python -m fsmde_training.prepare --out runs/cache"""

from __future__ import annotations

from pathlib import Path

from jsonargparse import auto_cli
from rich.progress import track

from fsmde_core.errors import FsmdeError
from fsmde_core.sources.locate import find_recording
from fsmde_core.sources.pandaset import PandaSetSource
from fsmde_training import cache

FIRST_VALIDATION_FRAME = 40
"""PandaSet frames before it train, the rest validate."""


def prepare(
    out: Path = Path("runs/cache"), size: tuple[int, int] = (672, 384), network_size: tuple[int, int] = (448, 256)
) -> None:
    """Write the sets `pandaset_train` and `pandaset_val` below `out`.

    size: (width, height) of training images; network_size: of validation images, the network's input.
    """
    root = find_recording("pandaset_002")
    if root is None:
        raise FsmdeError("the recording pandaset_002 is neither in $FSMDE_DATA nor in ../shared/data")
    source = PandaSetSource(root)
    numbers = source.numbers
    train = [source.frame(i) for i, number in enumerate(numbers) if number < FIRST_VALIDATION_FRAME]
    held_out = [source.frame(i) for i, number in enumerate(numbers) if number >= FIRST_VALIDATION_FRAME]
    validation = [frame for frame in held_out if frame.lidar is not None]
    for name, frames, (width, height), sky in (
        ("pandaset_train", train, size, True),
        ("pandaset_val", validation, network_size, False),
    ):
        count = sum(len(frame.images) for frame in frames)
        samples = track(cache.lidar_samples(frames, width, height, sky), name, total=count)
        cache.save(out / name, samples, count, width, height)


if __name__ == "__main__":
    auto_cli(prepare)
