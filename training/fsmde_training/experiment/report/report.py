"""Writes the report: numbers between two markers of docs/experiments.md, pictures beside it, all results as JSON."""

from __future__ import annotations

from pathlib import Path

from fsmde_core.errors import FsmdeError
from fsmde_training.experiment.report.plots import plot_errors, plot_gains
from fsmde_training.experiment.report.table import PAPER_GAIN, to_markdown
from fsmde_training.experiment.results import Results, write_json

START, END = "<!-- results: written by the experiment -->", "<!-- end of results -->"
DOCUMENT = "experiments.md"
GAINS, ERRORS, RING = "experiment_gains.png", "experiment_errors.png", "experiment_ring.png"


def write_report(results: Results, folder: Path) -> Path:
    """Write tables between the markers of experiments.md, which is made where it is missing, plots and JSON.

    Args:
        results: What the experiment found.
        folder: Where experiments.md is, and folders of JSON and pictures.

    Returns:
        The path of experiments.md.
    """
    numbers = folder / "experiments" / "results.json"
    numbers.parent.mkdir(parents=True, exist_ok=True)
    write_json(results, numbers)
    plot_gains(results.runs, image_folder(folder) / GAINS, PAPER_GAIN)
    plot_errors(results.runs, image_folder(folder) / ERRORS)
    document = folder / DOCUMENT
    text = document.read_text() if document.is_file() else f"# Experiment\n\n{START}\n{END}\n"
    document.write_text(between_markers(text, f"{to_markdown(results)}\n\n{_pictures(folder)}"))
    return document


def image_folder(folder: Path) -> Path:
    """Make the folder of the report's pictures where it is missing."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    return images


def _pictures(folder: Path) -> str:
    captions = {
        GAINS: "Gain of each form of distillation over labels alone",
        ERRORS: "AbsRel of every arm on every evaluation set",
        RING: "One held-out ring: image, lidar, teacher, supervised student, student with CKD + VRKD",
    }
    present = {name: text for name, text in captions.items() if (folder / "images" / name).is_file()}
    return "\n\n".join(f"![{text}](images/{name})" for name, text in present.items())


def between_markers(text: str, content: str) -> str:
    """Replace what stands between START and END.

    Args:
        text: The whole document.
        content: What is to stand there.

    Returns:
        The new document.

    Raises:
        FsmdeError: The markers are not there, in order.
    """
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise FsmdeError(f"{DOCUMENT} has no place for the results; it needs the lines '{START}' and '{END}'")
    return f"{head}{START}\n\n{content}\n\n{END}{tail}"
