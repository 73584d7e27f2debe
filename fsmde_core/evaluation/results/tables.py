"""Shows an evaluation in tables for people, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fsmde_core.evaluation.measures.metrics import MEASURES
from fsmde_core.evaluation.results.drops import drops_sentence
from fsmde_core.sources.counts import ReadingCounts

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

Document = Mapping[str, Any]


def conditions(document: Document) -> str:
    """Say under which conditions the numbers were measured; it stands beside all of them."""
    parts = [
        f"{document['source']}: protocol {document['protocol']}",
        f"{document['samples']} sample{'s' if document['samples'] != 1 else ''}",
        f"cap {document['cap_m']:g} m",
        f"scaling {document['scaling']}",
        *(["flip averaging"] if document["flip"] else []),
        *(["masks"] if document["masks"] else []),
    ]
    return ", ".join(parts)


def baseline_sentences(document: Document) -> list[str]:
    """Say of each baseline that beats the model, which sees the images, by how much it does."""
    mean = document["mean"]
    sentences = []
    for name, scores in (document.get("baselines") or {}).items():
        other = scores["mean"]
        better = [
            f"{label} {other[key]:.3f} against {mean[key]:.3f}"
            for key, label, sign in (("abs_rel", "AbsRel", 1), ("a1", "share within 25 %", -1))
            if None not in (other[key], mean[key]) and sign * other[key] < sign * mean[key]
        ]
        if better:
            sentences.append(
                f"the baseline {name.replace('_', ' ')}, which sees no image, beats the model here: {', '.join(better)}"
            )
    return sentences


def to_tables(document: Document) -> Iterator[Group]:
    """Yield cameras with mean and baselines, bands and thirds, and the rest, each below its conditions."""
    from rich.console import Group
    from rich.text import Text

    for sentence in baseline_sentences(document):
        yield Group(Text(sentence, style="bold red"))
    for table in (_cameras(document), _bands_and_thirds(document), _other_measures(document)):
        yield Group(Text(conditions(document), style="italic"), table)


def _cameras(document: Document) -> Table:
    table = _table("camera", *MEASURES, "n")
    for name, metrics in document["cameras"].items():
        table.add_row(name, *_cells(metrics))
    table.add_section()
    table.add_row("mean", *_cells(document["mean"]), style="bold")
    for name, scores in document["baselines"].items():
        table.add_row(name, *_cells(scores["mean"]))
    return table


def _bands_and_thirds(document: Document) -> Table:
    table = _table("mean of cameras", *MEASURES, "n")
    for key, unit in (("bands", " m"), ("thirds", " third")):
        for name, scores in document[key].items():
            table.add_row(name + unit, *_cells(scores["mean"]))
        table.add_section()
    return table


def _other_measures(document: Document) -> Table:
    table = _table("measure", "value", "n")
    if sigma := document["sigma"]:
        for k, fraction in sigma["coverage"].items():
            table.add_row(f"truth within {k} sigma", f"{fraction:.1%}", str(sigma["n"]))
        table.add_row("AUSE: AbsRel lost to sorting by sigma, not by error", f"{sigma['ause']:.3f}", str(sigma["n"]))
    for key, where in (("lidar", "at lidar points"), ("overlap", "without lidar")):
        if found := document["consistency"][key]:
            table.add_row(f"neighbouring views differ, {where}", f"{found['mean']:.1%}", str(found["n"]))
            edge = max(found["edges"], key=found["edges"].get)
            table.add_row(f"  most: {edge}", f"{found['edges'][edge]:.1%}", "")
    if found := document["steadiness"]:
        gap = f"{found['interval_s']:.2f} s"
        table.add_row(
            f"depth changes between samples, {gap}, motion taken out", f"{found['mean']:.1%}", str(found["n"])
        )
    return table


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    columns = (Column(name, justify="right") for name in others)
    return Table(first, *columns, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _cells(metrics: Mapping[str, Any]) -> list[str]:
    return [f"{metrics[name]:.3f}" for name in MEASURES] + [str(metrics["n"])]


def to_lines(document: Document) -> Iterator[str]:
    """Yield lines on what ran and how fast, and the notes."""
    latency, drops = document["latency_ms"], document.get("drops")
    what = "arrival of the last image to last output" if drops else "preprocessing and inference"
    yield (
        f"{document['model']}, {document['engine']} {document['precision']} on {document['device']}: "
        f"{what} of a frame {latency['p50']:.0f} ms (p50), {latency['p95']:.0f} (p95), "
        f"{latency['p99']:.0f} (p99), beside the rest of the evaluation"
    )
    if drops:
        yield drops_sentence(drops)
    if found := document.get("throughput"):
        yield (
            f"{found['frames_per_s']:.1f} frames per second, {found['samples_per_s']:.1f} with lidar; the engine alone "
            f"{found['engine_frames_per_s']:.1f}: {found['ratio']:.0%} of its rate"
        )
    yield from ReadingCounts.of(document["read"]).lines()
    yield from document["notes"]
