"""Draws plots as inline SVG: text stays text, and colours are the page's own, so that they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from fsmde_core.report.measures import Measure

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib draws with these colours; in the page each becomes the variable of that name in style.css.
INK, FAINT, LINE = "#0a0a0a", "#0b0b0b", "#0c0c0c"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
BASELINES = ("#0d0d0d", "#0e0e0e")
VARIABLES = {INK: "ink", FAINT: "faint", LINE: "line"} | {
    **{color: f"series-{index}" for index, color in enumerate(SERIES)},
    **{color: f"baseline-{index}" for index, color in enumerate(BASELINES)},
}
MARKERS = "osD^v"
WIDTH_INCHES = 4.6
DODGE = 0.24  # rows between the dots of neighbouring results
LOG_FROM = 6.0  # a larger ratio of values than this goes onto a logarithmic axis


@dataclass(frozen=True)
class Plot:
    """Holds an <svg> element that carries its own description."""

    title: str
    svg: Markup


def dot_plot(
    title: str,
    measure: Measure,
    results: Mapping[str, Mapping[str, float]],
    baselines: Mapping[str, Mapping[str, float]] | None = None,
) -> Plot:
    # {series: {row: value}}: one row per name, one dot per series; results in colour, baselines hollow and grey.
    results = {name: values for name, values in results.items() if values}
    baselines = dict(baselines or {})
    names = list(dict.fromkeys(name for series in (*results.values(), *baselines.values()) for name in series))
    with _figure(0.36 * len(names) + 0.95) as figure:
        axes = figure.add_subplot()
        for index, (label, values) in enumerate(baselines.items()):
            _dots(axes, names, label, values, MARKERS[index - 2], BASELINES[index % len(BASELINES)])
        for index, (label, values) in enumerate(results.items()):
            shift = DODGE * (index - (len(results) - 1) / 2)
            _dots(axes, names, label, values, MARKERS[index % len(MARKERS)], SERIES[index % len(SERIES)], shift)
        everything = results | baselines
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        _scale(axes, [value for series in everything.values() for value in series.values()], measure)
        axes.set_xlabel(measure.heading)
        if len(everything) > 1:
            _legend(figure, axes)
        return Plot(title, _svg(figure, title, _description(measure, everything)))


def sparsification_plot(title: str, curves: Mapping[str, Mapping[str, Sequence[float] | float]]) -> Plot:
    # {result: sparsification}: AbsRel of what is left when the least certain pixels are taken out first. Beside each
    # curve the oracle's, which takes out the largest errors first, is dashed, and chance is a dotted level.
    with _figure(2.9) as figure:
        axes = figure.add_subplot()
        descriptions = []
        for (label, curve), color in zip(curves.items(), cycle(SERIES), strict=False):
            removed = 100 * np.asarray(curve["removed"], float)
            axes.plot(removed, curve["abs_rel"], color=color, linewidth=2, label=f"{label}, by sigma")
            axes.plot(removed, curve["oracle"], color=color, linewidth=1.5, linestyle="--", label=f"{label}, oracle")
            axes.axhline(curve["random"], color=color, linewidth=1.2, linestyle=":", label=f"{label}, at random")  # type: ignore[arg-type]
            first, last = (f"{np.asarray(curve['abs_rel'])[at]:.3f}" for at in (0, -1))
            descriptions.append(f"{label}: from {first} to {last} with {removed[-1]:.0f} % of the pixels taken out")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_xlabel("pixels taken out, %")
        axes.set_ylabel("AbsRel of the rest ↓")
        _legend(figure, axes, columns=3 if len(curves) == 1 else 2)
        return Plot(title, _svg(figure, title, "; ".join(descriptions)))


@contextmanager
def _figure(height_inches: float) -> Iterator[Figure]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5, "axes.edgecolor": LINE,
        "axes.spines.top": False, "axes.spines.right": False, "text.color": INK, "axes.labelcolor": FAINT,
        "xtick.color": LINE, "xtick.labelcolor": FAINT, "ytick.color": LINE, "ytick.labelcolor": INK,
    }  # fmt: skip
    with rc_context(settings):
        yield Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def _dots(
    axes: Axes, names: Sequence[str], label: str, values: Mapping[str, float], marker: str, color: str,
    shift: float | None = None,
) -> None:  # fmt: skip
    """Draw one series of dots; a result is shifted by rows so that equal values stay visible, a baseline is not."""
    rows = [names.index(name) + (shift or 0) for name in values]
    face, size = ("none", 5.5) if shift is None else (color, 6.5)
    axes.plot(
        list(values.values()), rows, marker, color=color, markerfacecolor=face, markersize=size, label=label,
        clip_on=False, zorder=3 if shift is None else 4,
    )  # fmt: skip


def _scale(axes: Axes, values: Sequence[float], measure: Measure) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if measure.better == "lower" and min(values) > 0 and max(values) > LOG_FROM * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1 if measure.better == "higher" else 1.08 * max(values) or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="both", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=7)
    axes.spines[["left", "bottom"]].set_visible(False)


def _legend(figure: Figure, axes: Axes, columns: int = 3) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(columns, len(labels)), frameon=False, borderpad=0,
        handletextpad=0.4, columnspacing=1.2, fontsize=9,
    )  # fmt: skip


def _description(measure: Measure, series: Mapping[str, Mapping[str, float]]) -> str:
    texts = {label: ", ".join(f"{n} {measure.text(v)}" for n, v in values.items()) for label, values in series.items()}
    return "; ".join(f"{label}: {values}" for label, values in texts.items())


def _svg(figure: Figure, title: str, description: str) -> Markup:
    """Export the figure as an element of the page: no prologue, no names of groups, the page's colours and fonts."""
    from markupsafe import Markup
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": title}):  # ids that differ from plot to plot and agree from run to run
        figure.savefig(
            stream, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    text = stream.getvalue()
    text = text[text.index(">", text.index("<svg")) + 1 :]
    text = re.sub(r"<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(
        r"font-family: [^;\"]*;?|font: ([\d.]+px)[^;\"]*", lambda m: f"font-size: {m[1]}" if m[1] else "", text
    )
    for color, name in VARIABLES.items():
        text = text.replace(color, f"var(--{name})")
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    opening = Markup('<svg role="img" viewBox="0 0 {} {}" aria-label="{}">').format(
        f"{width:g}", f"{height:g}", f"{title}. {description}"
    )
    return opening + Markup(text)
