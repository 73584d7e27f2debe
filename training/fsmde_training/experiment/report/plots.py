"""Draws the results: gain per arm, and error per set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsmde_training.experiment.arms import ARMS, BASELINES, PROPOSED, SUPERVISED, title
from fsmde_training.experiment.results import RunResult, SeedSpread, gains, of_arm, over_seeds
from fsmde_training.experiment.sets import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, BLUE, GREEN, INK, FAINT = "#9aa3ad", "#4c78a8", "#2f8f5b", "#22262b", "#6b727b"


def plot_gains(runs: Sequence[RunResult], path: Path, wanted: float) -> None:
    """Plot one bar per arm: the mean gain over seeds, its standard deviation, a dot per seed.

    Args:
        runs: All runs.
        path: The picture.
        wanted: Percent, shown as a line.
    """
    arms = [name for name in ARMS if name != SUPERVISED and of_arm(runs, name)]
    figure = new_figure(8.5, 1.6 + 0.5 * len(arms))
    axes = figure.subplots()
    for place, name in enumerate(arms):
        values = list(gains(runs, name).values())
        spread = SeedSpread.of(values)
        axes.barh(place, spread.mean, 0.62, color=_color(name))
        if len(values) > 1:
            axes.errorbar(spread.mean, place, xerr=spread.std, color=INK, capsize=4, linewidth=1.4)
        axes.plot(values, [place + 0.2] * len(values), "o", color="white", markeredgecolor=INK, markersize=5)
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(wanted, color=FAINT, linewidth=1, linestyle="--")
    axes.text(wanted, -0.62, f" {wanted} %, reported for the paper", color=FAINT, fontsize=9, va="center")
    axes.set_yticks(range(len(arms)), [title(name) for name in arms])
    axes.set_ylim(len(arms) - 0.4, -0.9)
    axes.set_xlabel(
        "AbsRel lower than the supervised student's, %, mean of the evaluation sets (right is better)\n"
        "bar: mean over seeds, whisker: standard deviation, dots: seeds"
    )
    axes.set_title("Gain of each form of distillation over labels alone", loc="left", color=INK)
    _hide_frame(axes)
    save_figure(figure, path)


def plot_errors(runs: Sequence[RunResult], path: Path) -> None:
    """Plot AbsRel of every arm on every evaluation set; the teacher and constant depth are lines.

    Args:
        runs: All runs.
        path: The picture.
    """
    sets, arms = list(runs[0].sets), [name for name in ARMS if of_arm(runs, name)]
    figure = new_figure(3.1 * max(len(sets), 2), 4.2)
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, name in zip(panels, sets, strict=True):
        for place, arm in enumerate(arms):
            value = over_seeds(runs, arm, lambda run, name=name: run.sets[name].mean.abs_rel)  # type: ignore[misc]
            axes.bar(place, value.mean, 0.7, color=_color(arm))
            if value.std == value.std:
                axes.errorbar(place, value.mean, yerr=value.std, color=INK, capsize=3, linewidth=1.2)
        for reference, style in (("teacher", "-"), ("constant", ":")):
            for run in of_arm(runs, reference):
                level = run.sets[name].mean.abs_rel
                axes.axhline(level, color=FAINT, linewidth=1.1, linestyle=style, label=title(reference))
        axes.set_xticks(range(len(arms)), [title(arm) for arm in arms], rotation=60, ha="right")
        axes.set_title(TITLES[name], color=INK)
        _hide_frame(axes)
    panels[0].set_ylabel("AbsRel, lower is better")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
    save_figure(figure, path)


def _hide_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _color(arm: str) -> str:
    return GREY if arm == SUPERVISED or arm in BASELINES else GREEN if arm == PROPOSED else BLUE


def new_figure(width: float, height: float) -> Figure:
    """Make an empty white figure.

    Args:
        width, height: Inches, of 110 pixels.

    Returns:
        The figure; `save_figure` writes it.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Draw a figure into a file.

    Args:
        figure: The figure.
        path: The picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path)
