"""Writes what the page says about one result, or about several side by side: per topic a text, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsmde_core.report import measures
from fsmde_core.report.documents import LoadedResult
from fsmde_core.report.measures import ABS_REL, SCORES, Measure
from fsmde_core.report.plots import Plot, dot_plot, sparsification_plot
from fsmde_core.report.tables import ReportTable, comparison_table, facts_table, matrix_table, scores_table

Values = Mapping[str, float]

FACTS = {
    "model": "model", "model_sha256": "sha256 of the model", "engine": "engine", "device": "device",
    "precision": "precision", "kind": "kind of recording", "root_name": "recording", "options": "read with",
    "span": "frames asked for", "frames": "frames read", "flip": "flip averaging",
}  # fmt: skip
"""Entries of the document that are shown as they are, and what the page calls them."""


@dataclass(frozen=True)
class Section:
    """Presents one topic. anchor: its id in the page. text: how to read it, or why there is nothing."""

    anchor: str
    title: str
    text: str
    plots: Sequence[Plot] = ()
    tables: Sequence[ReportTable] = ()
    measured: bool = True


def sections(results: Sequence[LoadedResult]) -> list[Section]:
    """Make all sections in the order of the page, from one or more comparable results."""
    topics = (_summary, _cameras, _ranges, _thirds, _sigma, _consistency, _steadiness, _latency, _environment)
    return [topic(results) for topic in topics]


def _summary(results: Sequence[LoadedResult]) -> Section:
    text = (
        "Means of the cameras, beside baselines that see no image: a model that does not beat them has learned nothing "
        "about the scene. Lower is better where an arrow points down, higher where it points up."
    )
    baselines = {name: scores["mean"] for name, scores in _baselines(results[0]).items()}
    if len(results) == 1:
        table = scores_table("All measures", "", {"model": results[0].at("mean"), **baselines}, strong="model")
        return Section("summary", "Summary", text, tables=[table])
    rows = [(m.heading, m, [result.at("mean", key) for result in results]) for key, m in SCORES.items()]
    beside = {_spaced(name): [mean[key] for key in SCORES] for name, mean in baselines.items()}
    return Section("summary", "Summary", text, tables=[_comparison("All measures", "measure", results, rows, beside)])


def _cameras(results: Sequence[LoadedResult]) -> Section:
    text = "Means of the images of each camera. Hollow marks are the baselines."
    groups = {result.name: {**result.at("cameras"), "mean": result.at("mean")} for result in results}
    baselines = {name: {**scores["cameras"], "mean": scores["mean"]} for name, scores in _baselines(results[0]).items()}
    plots = []
    for key in ("abs_rel", "a1"):
        values = {name: _column(scores, key) for name, scores in groups.items()}
        beside = {_spaced(name): _column(scores, key) for name, scores in baselines.items()}
        plots.append(dot_plot(f"{SCORES[key].label} per camera", SCORES[key], values, beside))
    return Section("cameras", "Cameras", text, plots, _score_tables("per camera", "camera", results, groups))


def _ranges(results: Sequence[LoadedResult]) -> Section:
    text = "By the lidar's depth, metres along the optical axis; a band with few pixels says little."
    return _grouped("range", "Range", text, "bands", "depth, m", results)


def _thirds(results: Sequence[LoadedResult]) -> Section:
    text = "By the pixel's row: the bottom third sees mostly road, the top third what is high or far."
    return _grouped("thirds", "Thirds of the image", text, "thirds", "third", results)


def _grouped(anchor: str, title: str, text: str, key: str, what: str, results: Sequence[LoadedResult]) -> Section:
    groups = {r.name: {name: scores["mean"] for name, scores in (r.at(key) or {}).items()} for r in results}
    if not any(groups.values()):
        return _absent(anchor, title, results)
    if key == "thirds":  # as they lie in the image
        order = ("top", "middle", "bottom")
        groups = {name: {third: parts[third] for third in order if third in parts} for name, parts in groups.items()}
    where = {"bands": "by range", "thirds": "by third"}[key]
    plot = dot_plot(f"AbsRel {where}", ABS_REL, {name: _column(parts, "abs_rel") for name, parts in groups.items()})
    tables = _score_tables(f"{where}, mean of the cameras", what, results, groups)
    if len(results) == 1:
        columns = {name: _column(results[0].at(key, name, "cameras"), "abs_rel") for name in groups[results[0].name]}
        tables.insert(0, matrix_table(f"AbsRel {where} and camera ↓", "camera", ABS_REL, columns))
    return Section(anchor, title, text, [plot], tables)


def _sigma(results: Sequence[LoadedResult]) -> Section:
    curves = {result.name: curve for result in results if (curve := result.at("sigma", "sparsification"))}
    if not any(result.at("sigma") for result in results):
        return _absent("sigma", "Calibration of sigma", results)
    text = (
        "Is the predicted standard deviation honest? Of normally distributed errors 68.3 % lie within one sigma and "
        "95.4 % within two: less means that the model is too sure of itself, more that it is too cautious. "
        "Sparsification takes out the least certain pixels first: the nearer the curve to the oracle, which takes out "
        "the largest errors first, the better sigma ranks them. AUSE is their mean distance."
    )
    rows: list[tuple[str, Measure, list[float | None]]] = [
        (measure.label, measure, [result.at("sigma", "coverage", key) for result in results])
        for key, measure in measures.COVERAGE.items()
    ]
    rows.append(("AUSE ↓", measures.AUSE, [result.at("sigma", "ause") for result in results]))
    rows.append(("pixels", measures.COUNT, [result.at("sigma", "n") for result in results]))
    normal = {"normal": [measure.target for measure in measures.COVERAGE.values()] + [None, None]}
    table = _comparison("Coverage and ranking", "", results, rows, normal)
    plots = [sparsification_plot("Sparsification", curves)] if curves else []
    return Section("sigma", "Calibration of sigma", text, plots, [table])


def _consistency(results: Sequence[LoadedResult]) -> Section:
    text = (
        "Do neighbouring views agree on the same place? Lidar: points of one sweep that two cameras see, by how far "
        "apart the two predictions put them, over their distance. Overlap: the two clouds against each other, without "
        "lidar."
    )
    plots, tables = [], []
    for kind in ("lidar", "overlap"):
        found = {r.name: r.at("consistency", kind) for r in results if r.at("consistency", kind)}
        if found:
            edges = {name: _with_mean(entry, "edges") for name, entry in found.items()}
            title = f"Disagreement of neighbours, {kind}"
            plots.append(dot_plot(title, measures.DISAGREEMENT, edges))
            tables.append(_one_measure_table(f"{title} ↓", "edge", measures.DISAGREEMENT, results, edges))
    if not tables:
        return _absent("consistency", "Consistency of the views", results)
    return Section("consistency", "Consistency of the views", text, plots, tables)


def _steadiness(results: Sequence[LoadedResult]) -> Section:
    found = {r.name: _with_mean(r.at("steadiness"), "cameras") for r in results if r.at("steadiness")}
    if not found:
        return _absent("steadiness", "Steadiness", results)
    text = "Relative difference between a frame's depth and that of the sample before, moved by the vehicle's motion"
    interval = results[0].at("steadiness", "interval_s")
    text += f", {interval:.2f} s earlier." if interval else "."
    plot = dot_plot("Change from frame to frame", measures.UNSTEADINESS, found)
    table = _one_measure_table("Change from frame to frame ↓", "camera", measures.UNSTEADINESS, results, found)
    return Section("steadiness", "Steadiness", text, [plot], [table])


def _latency(results: Sequence[LoadedResult]) -> Section:
    text = (
        "Milliseconds for one frame with all its cameras, on the machine named below: preprocessing and inference, or, "
        "of a replay through the node, from the arrival of the last image to the last output."
    )
    if not any(result.at("latency_ms") for result in results):
        return _absent("latency", "Latency", results)
    found = {r.name: r.at("latency_ms") or {} for r in results}
    rows = [(key, measure, [values.get(key) for values in found.values()]) for key, measure in measures.LATENCY.items()]
    return Section("latency", "Latency", text, tables=[_comparison("Percentiles, ms ↓", "", results, rows)])


def _environment(results: Sequence[LoadedResult]) -> Section:
    facts = {}
    for result in results:
        entries = {label: result.at(key) for key, label in FACTS.items()} | (result.at("environment") or {})
        known = {_spaced(name): _fact(value) for name, value in entries.items() if value is not None}
        facts["" if len(results) == 1 else result.name] = known
    return Section("environment", "Model and environment", "", tables=[facts_table("What ran, on what", facts)])


def _score_tables(
    where: str, what: str, results: Sequence[LoadedResult], groups: Mapping[str, Mapping[str, Values]]
) -> list[ReportTable]:
    """Tabulate scores by row: all measures of one result; AbsRel and the first delta of several."""
    if len(results) == 1:
        return [scores_table(f"All measures {where}", what, groups[results[0].name])]
    return [
        _one_measure_table(f"{SCORES[key].heading} {where}", what, SCORES[key], results,
                {name: _column(parts, key) for name, parts in groups.items()})
        for key in ("abs_rel", "a1")
    ]  # fmt: skip


def _one_measure_table(
    title: str, what: str, measure: Measure, results: Sequence[LoadedResult], columns: Mapping[str, Values]
) -> ReportTable:
    names = dict.fromkeys(name for values in columns.values() for name in values)
    rows = [(name, measure, [columns.get(r.name, {}).get(name) for r in results]) for name in names]
    return _comparison(title, what, results, rows)


def _comparison(title: str, what: str, results: Sequence[LoadedResult], rows: Any, beside: Any = None) -> ReportTable:
    names = ["value"] if len(results) == 1 else [result.name for result in results]
    return comparison_table(title, what, names, rows, beside)


def _column(scores: Mapping[str, Values], key: str) -> dict[str, float]:
    return {name: values[key] for name, values in scores.items()}


def _with_mean(entry: Mapping[str, Any], key: str) -> dict[str, float]:
    known = {name: value for name, value in entry[key].items() if value is not None}
    return {**known, "mean": entry["mean"]}


def _baselines(result: LoadedResult) -> Mapping[str, Any]:
    return result.at("baselines") or {}


def _absent(anchor: str, title: str, results: Sequence[LoadedResult]) -> Section:
    subject = "the result has" if len(results) == 1 else "the results have"
    return Section(anchor, title, f"Not measured: {subject} no such section.", measured=False)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ":".join("" if item is None else str(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
