"""Makes training sets of recordings and synthetic streets (python -m fsmde_training.sets.prepare --help)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from fsmde_core.errors import FsmdeError, exit_on_user_error
from fsmde_core.rig.plausibility import rig_doubts
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_core.sources.registry import KINDS, FrameRange, frame_count, open_source, parse_frames, parse_names
from fsmde_core.sources.source import Source
from fsmde_training.networks.sizes import check_size, parse_size
from fsmde_training.sets import cache
from fsmde_training.sets.drives import ALL_TRAINING, ALL_VALIDATION, SplitPart, WholeRings
from fsmde_training.sets.labels import label_ring, with_sweeps
from fsmde_training.sets.parallel import parallel_map
from fsmde_training.sets.streets import CAMERAS, street_samples

FIRST_VALIDATION_FRAME = 40
"""PandaSet frames before it train, the rest validate."""
FIRST_SEED = 10_000
"""Streets of smaller seeds are for tests and demonstrations."""

Size = tuple[int, int]
"""(width, height), pixels."""
T = TypeVar("T")


def pandaset_sets(out: Path, size: Size, network_size: Size, processes: int = 0, sky: bool = True) -> None:
    source = open_source("pandaset")
    assert isinstance(source, PandaSetSource)
    first = sum(number < FIRST_VALIDATION_FRAME for number in source.numbers)
    recording_set(out / "pandaset_val", source, (first, None), ALL_VALIDATION, network_size, processes)
    recording_set(out / "pandaset_train", source, (0, first), ALL_TRAINING, size, processes, sky)


def street_sets(out: Path, streets: int, size: Size, processes: int = 0) -> None:
    for name, first, number in (("street_train", FIRST_SEED, streets), ("street_val", 2 * FIRST_SEED, 4)):
        seeds, count = range(first, first + number), CAMERAS * number
        if not _is_complete(out / name, {"source": "streets", "seeds": [first, number], "size": list(size)}):
            samples = street_samples(seeds, *size, processes)
            cache.save(out / name, _with_progress(samples, name, count), count, *size)


def recording_set(
    folder: Path,
    source: Source,
    frames: FrameRange,
    part: SplitPart,
    size: Size,
    processes: int = 0,
    sky: bool = True,
    **recipe: Any,  # what else the set depends on
) -> None:
    # A held-out set measures against lidar: its frames have a sweep of their own, and no sky labels.
    sky = sky and not part.held_out
    recipe |= {"source": source.name, "frames": list(frames), **part._asdict(), "size": list(size), "sky": sky}
    if masked := [camera.name for camera in source.rig.cameras if camera.mask]:
        recipe["masks"] = masked
    if _is_complete(folder, recipe):
        return
    for doubt in rig_doubts(source.rig):
        typer.echo(f"{source.name}: {doubt}", err=True)
    rings = WholeRings(part.select(_with_progress(source.frames(*frames), folder.name, frame_count(source, frames))))
    swept = (item for item in with_sweeps(rings) if item.frame.lidar is not None or not part.held_out)
    label = partial(label_ring, width=size[0], height=size[1], sky=sky)
    samples = chain.from_iterable(parallel_map(label, swept, processes))
    labelled = cache.save(folder, samples, None, *size)
    typer.echo(
        f"{folder}: {len(labelled)} images, {labelled.sum()} with labels; "
        f"{rings.left_out} frames left out that lack an image of a camera"
    )
    for line in (*source.counts.lines(), *source.notes):
        typer.echo(line)


def _is_complete(folder: Path, recipe: dict[str, Any]) -> bool:
    """Tell whether a complete set of this recipe is there; if none is, create its folder and write the recipe there.

    Raises FsmdeError when a complete set of another recipe is there: it is neither replaced nor used for this one.
    """
    file = folder / "recipe.json"
    if not cache.is_complete(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(recipe) + "\n")
        return False
    found = json.loads(file.read_text()) if file.is_file() else None
    if found != recipe:
        raise FsmdeError(f"{folder} was made with {found}, now asked for is {recipe}; remove it, or name another set")
    return True


def _with_progress(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    yield from track(items, name, total, console=Console(stderr=True))


def _parse_options(options: list[str]) -> dict[str, Any]:
    if wrong := [option for option in options if "=" not in option]:
        raise FsmdeError(f"options {wrong} must be KEY=VALUE, such as version=v1.0-trainval")
    parsed: dict[str, Any] = dict(option.split("=", 1) for option in options)
    return parsed | ({"cameras": parse_names(parsed["cameras"])} if "cameras" in parsed else {})


def _command(
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="|".join(KINDS), help="Kind of recording; without it, what the shipped student was trained on."
        ),
    ] = None,
    root: Annotated[Optional[Path], typer.Option(help="Where the recording of --source lies.")] = None,  # noqa: UP045
    name: Annotated[str, typer.Option(help="The sets of --source are NAME_train and NAME_val.")] = "own",
    frames: Annotated[str, typer.Option(metavar="A:B", help="Frames of the recording, as Python slices count.")] = ":",
    validation: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the drives of --source that validates; 1: all, no training.")
    ] = 0.0,
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="KEY=VALUE",
            help="Of the source: version=v1.0-trainval (nuscenes), split=train (ddad), cameras=front,back, rig=FILE.",
        ),
    ] = None,
    streets: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Synthetic streets to train on. Default: 80; beside a --source none."),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Of training images of recordings; multiples of 32.")
    ] = "672x384",
    network_size: Annotated[str, typer.Option(metavar="WxH", help="Of all others: the network's input.")] = "448x256",
    sky: Annotated[bool, typer.Option(help="Label what looks like sky in training images as infinitely far.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of the sets.")] = Path("runs/cache"),
    processes: Annotated[int, typer.Option(min=0, help="For decoding and rendering; 0: one per CPU core.")] = 0,
) -> None:
    """Write training sets: those of --source, or without it those that the shipped student is trained on.

    Sets that are complete stay; one that was interrupted is made anew. Memory does not grow with the recording.
    """
    training, network = parse_size(size), parse_size(network_size)
    for option_name, pixels in (("--size", training), ("--network-size", network)):
        check_size(pixels[::-1], option_name)
    if source is None and root is not None:
        raise FsmdeError(f"--root {root} needs its --source, one of {list(KINDS)}")
    if source is None:
        pandaset_sets(out, training, network, processes, sky)
    else:
        options = _parse_options(option or [])
        recording = _open(source, root, options)
        recipe = {"root": str(root.resolve()) if root else None, "options": options}
        for part, pixels in (
            (SplitPart(validation, held_out=True), network),
            (SplitPart(validation, held_out=False), training),
        ):
            if part not in ((0, True), (1, False)):  # these are empty on purpose
                folder = out / f"{name}_{'val' if part.held_out else 'train'}"
                recording_set(folder, recording, parse_frames(frames), part, pixels, processes, sky, **recipe)
    if streets is None:
        streets = 80 if source is None else 0
    if streets:
        street_sets(out, streets, network, processes)


def _open(kind: str, root: Path | None, options: dict[str, Any]) -> Source:
    try:
        return open_source(kind, root, **options)
    except TypeError as error:  # a text where a number is due
        raise FsmdeError(f"source '{kind}' does not take the options {options}: {error}") from error


def main(args: list[str] | None = None) -> None:
    """Run the command. What a user can put right ends it with one sentence and exit code 2, as in `fsmde`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_command)
    with exit_on_user_error("sets.prepare"):
        app(args)


if __name__ == "__main__":
    main()
