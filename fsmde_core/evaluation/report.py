"""An evaluation as tables for people, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fsmde_core.evaluation.metrics import MEASURES

if TYPE_CHECKING:
    from rich.table import Table

Document = Mapping[str, Any]


def conditions(document: Document) -> str:
    """What stands beside every number."""
    parts = [
        f"{document['source']}: protocol {document['protocol']}",
        f"{document['samples']} samples",
        f"cap {document['cap_m']:g} m",
        f"scaling {document['scaling']}",
        *(["flip averaging"] if document["flip"] else []),
        *(["masks"] if document["masks"] else []),
    ]
    return ", ".join(parts)


def to_tables(document: Document) -> list[Table]:
    """Cameras with the mean and the baselines, then bands and thirds."""
    cameras = _table(document, "camera")
    for name, metrics in document["cameras"].items():
        cameras.add_row(name, *_cells(metrics))
    cameras.add_section()
    cameras.add_row("mean", *_cells(document["mean"]), style="bold")
    for name, scores in document["baselines"].items():
        cameras.add_row(name, *_cells(scores["mean"]))
    parts = _table(document, "mean of cameras")
    for key, unit in (("bands", " m"), ("thirds", " third")):
        for name, scores in document[key].items():
            parts.add_row(name + unit, *_cells(scores["mean"]))
        parts.add_section()
    return [cameras, parts]


def _table(document: Document, first: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=conditions(document), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column(first)
    for name in (*MEASURES, "n"):
        table.add_column(name, justify="right")
    return table


def _cells(metrics: Mapping[str, Any]) -> list[str]:
    return [f"{metrics[name]:.3f}" for name in MEASURES] + [str(metrics["n"])]


def to_lines(document: Document) -> Iterator[str]:
    """The rest, a line each."""
    beside = f"({conditions(document)})"
    if sigma := document["sigma"]:
        coverage, random = sigma["coverage"], sigma["sparsification"]["random"]
        yield (
            f"sigma: truth within 1 sigma {coverage['1']:.1%}, within 2 {coverage['2']:.1%}; "
            f"AUSE {sigma['ause']:.3f} AbsRel, all {random:.3f}; {sigma['n']} pixels {beside}"
        )
    for key, what in (("lidar", "at lidar points seen by both"), ("overlap", "overlap, without lidar")):
        if found := document["consistency"][key]:
            worst = max(found["edges"], key=found["edges"].get)
            yield (
                f"neighbouring views differ by {found['mean']:.1%} {what}, most {worst} "
                f"{found['edges'][worst]:.1%}; {found['n']} points {beside}"
            )
    if found := document["steadiness"]:
        yield (
            f"depth changes by {found['mean']:.1%} from sample to sample ({found['interval_s']:.2f} s), "
            f"motion taken out; {found['n']} pixels {beside}"
        )
    latency = document["latency_ms"]
    yield (
        f"{document['model']}, {document['engine']} {document['precision']} on {document['device']}: "
        f"{latency['p50']:.0f} ms per frame (p50), {latency['p95']:.0f} (p95), {latency['p99']:.0f} (p99)"
    )
    yield from document["notes"]
