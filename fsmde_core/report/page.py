"""Renders sections and pictures through the templates into one self-contained HTML document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsmde_core.evaluation.results.drops import drops_sentence
from fsmde_core.evaluation.results.tables import baseline_sentences
from fsmde_core.report.documents import LoadedResult, conditions
from fsmde_core.report.gallery import Gallery
from fsmde_core.report.measures import ABS_REL, DELTA, LATENCY, SCORES, Measure, Verdict
from fsmde_core.report.sections import sections

BASELINES = {"constant": "constant depth", "ground_plane": "the ground plane"}
"""What the page calls the baselines."""


@dataclass(frozen=True)
class Tile:
    label: str
    measure: Measure
    value: float | None
    note: str = ""
    verdict: Verdict | None = None

    @property
    def text(self) -> str:
        return self.measure.text(self.value)


def render(results: Sequence[LoadedResult], gallery: Gallery | None) -> str:
    """Render a page.

    Args:
        results: One or more comparable results.
        gallery: The pictures; None leaves them out.

    Returns:
        The HTML document.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "fsmde_core.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(
        title=_title(results),
        conditions=conditions(results),
        first=results[0],
        compared=len(results) > 1,
        notes=_notes(results),
        tiles=_comparison_tiles(results) if len(results) > 1 else _result_tiles(results[0]),
        sections=sections(results),
        gallery=gallery,
        abs_rel=ABS_REL,
    )


def _title(results: Sequence[LoadedResult]) -> str:
    source = results[0].at("source")
    if len(results) == 1:
        return f"{results[0].at('model')} on {source}"
    *names, last = (result.name for result in results)
    return f"{', '.join(names)} and {last} on {source}"


def _notes(results: Sequence[LoadedResult]) -> list[str]:
    """List what a reader must know first: baselines that beat the model, damage in the recording, drops of the node."""
    notes = []
    for result in results:
        own = [*baseline_sentences(result.document), *(result.at("notes") or [])]
        if drops := result.at("drops"):
            own.append(drops_sentence(drops))
        notes += [f"{result.name}: {note}" if len(results) > 1 else note for note in own]
    return notes


def _result_tiles(result: LoadedResult) -> list[Tile]:
    error = result.at("mean", "abs_rel")
    baselines = {name: scores["mean"]["abs_rel"] for name, scores in (result.at("baselines") or {}).items()}
    note = "mean of the cameras"
    if baselines:
        best = min(baselines, key=baselines.__getitem__)
        part = 100 * abs(1 - error / baselines[best])
        note = f"{part:.0f} % {'below' if error < baselines[best] else 'above'} {BASELINES.get(best, best)}"
    seen = f"{result.samples}, {len(result.at('cameras'))} cameras"
    tiles = [
        Tile("AbsRel", ABS_REL, error, note),
        Tile("δ < 1.25", DELTA, result.at("mean", "a1"), "share of pixels within 25 %"),
        Tile("RMSE, m", SCORES["rmse"], result.at("mean", "rmse"), "mean of the cameras"),
        Tile("Pixels", SCORES["n"], result.at("mean", "n"), seen),
    ]
    latency = result.at("latency_ms", "p50")
    if latency is not None:
        tiles.append(Tile("Latency p50, ms", LATENCY["p50"], latency, f"{result.at('engine')}, one frame, all cameras"))
    return tiles


def _comparison_tiles(results: Sequence[LoadedResult]) -> list[Tile]:
    reference = results[0].at("mean", "abs_rel")
    tiles = [Tile(f"AbsRel of {results[0].name}", ABS_REL, reference, "what the others are compared with")]
    for result in results[1:]:
        value = result.at("mean", "abs_rel")
        note = f"{ABS_REL.change(reference, value)} against {results[0].name}"
        tiles.append(Tile(f"AbsRel of {result.name}", ABS_REL, value, note, ABS_REL.verdict(reference, value)))
    return tiles
