"""Shows the benchmark's document as tables for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

# Row of the table -> stage of the document.
_STAGES = {
    "upload, all images": "gpu_upload",
    "sampling, all images": "gpu_sample",
    "network": "gpu_infer",
    "download of depth, sigma, RGB": "gpu_download",
    "packing": "gpu_pack",
    "download of the cloud": "gpu_cloud_down",
    "cloud to ordinary memory, download included": "gpu_cloud_copied",
    "caller: images to page-locked memory": "preprocess",
    "caller: network, wait included": "infer",
    "caller: cloud, wait included": "pack",
}


def tables(document: dict[str, Any]) -> list[Table]:
    """Build the tables: floors, one per network, the student beside its teachers where those were measured."""
    networks = [_network(network) for network in document["networks"]]
    return [_floors(document), *networks, *([_teachers(document)] if document["teachers"] else [])]


def _floors(document: dict[str, Any]) -> Table:
    machine, floors = document["machine"], document["floors"]
    table = Table("floor of the device", "", title=f"{machine['gpu']}, torch {machine['torch']}")
    for name, value in floors.items():
        floor, *unit = name.rsplit("_", 2)
        table.add_row(floor.replace("_", " "), f"{value:g} {'/'.join(unit).upper().replace('/S', '/s')}")
    return table


def _network(network: dict[str, Any]) -> Table:
    engines = [engine for engine in network["engines"] if "skipped" not in engine]
    heads = [f"{engine['engine']} {engine['precision']}" for engine in engines]
    table = Table("ms", *heads, title=f"{network['model']}, {network['input']}, {network['gflop']} GFLOP a set")
    for name in ("p50", "p95", "p99"):
        values = [f"{engine['end_to_end_ms'][name]:.2f}" for engine in engines]
        table.add_row(f"end to end, {name}", *values, style="bold")
    for name in ("p50", "p95", "p99"):
        table.add_row(f"engine, {name}", *(f"{engine['stages_ms']['gpu_infer'][name]:.2f}" for engine in engines))
    for name, stage in _STAGES.items():
        if all(stage in engine["stages_ms"] for engine in engines):
            table.add_row(f"  {name}", *(f"{engine['stages_ms'][stage]['p50']:.2f}" for engine in engines))
    table.add_row("the frame's copies alone", *(f"{engine['copies_alone_ms']:.2f}" for engine in engines))
    table.add_row("engine and copies / end to end", *(f"{engine['engine_and_copies_share']:.0%}" for engine in engines))
    table.add_row("arithmetic floor", *(f"{network['arithmetic_floor_ms']:.3f}" for _ in engines))
    table.add_row("processor time, all threads", *(f"{engine['host_cpu_ms']:.1f}" for engine in engines))
    table.add_row("from the reference", *(engine["deviation"] for engine in engines))
    skipped = [f"{engine['engine']}: {engine['skipped']}" for engine in network["engines"] if "skipped" in engine]
    table.caption = "; ".join(skipped) or None
    return table


def _teachers(document: dict[str, Any]) -> Table:
    table = Table("teacher, float16, CUDA graph", "its input", "ms", "student's input", "ms", "times faster")
    for row in document["teachers"]:
        table.add_row(
            row["teacher"],
            row["teacher_input"],
            f"{row['teacher_ms']:.2f}",
            row["student_input"],
            f"{row['student_ms']:.2f}",
            f"x {row['ratio']:.1f}",
        )
    return table
