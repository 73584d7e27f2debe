"""Draws docs/images/architecture.svg: `python docs/draw_architecture.py`.

Every box names the rooms that it stands for; one that no longer exists is an error, so that the picture stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images" / "architecture.svg"
WIDTH, HEIGHT, COLUMN = 2.9, 1.05, 4.1
CORE, ROS, TRAINING, OUTSIDE = "#dbe9f6", "#dff0d8", "#fdebd0", "#f2f2f2"


@dataclass(frozen=True)
class Box:
    """Stands for one step: where it is drawn, what it is called, what it does, and the rooms that hold it."""

    column: int
    y: float
    title: str
    text: str
    rooms: tuple[str, ...]
    colour: str

    @property
    def x(self) -> float:
        return self.column * COLUMN


BOXES = {
    "cameras": Box(0, 6, "cameras", "images, camera_info", (), OUTSIDE),
    "inputs": Box(1, 6, "node/inputs", "subscribes, judges", ("fsmde_ros/node/inputs.py",), ROS),
    "rectifier": Box(
        2,
        6,
        "rectification_queue",
        "decodes, rectifies\nwhile others expose",
        ("fsmde_ros/node/rectification_queue.py", "fsmde_core/images"),
        ROS,
    ),
    "sync": Box(2, 4.2, "sync", "groups images\ninto sets", ("fsmde_core/sync",), CORE),
    "slot": Box(3, 4.2, "node/latest_slot", "newest set wins", ("fsmde_ros/node/latest_slot.py",), ROS),
    "worker": Box(3, 6, "node/worker", "one set at a time", ("fsmde_ros/node/worker.py",), ROS),
    "engines": Box(4, 6, "engines", "one batched\ninference", ("fsmde_core/engines", "fsmde_core/pipeline"), CORE),
    "clouds": Box(5, 6, "clouds", "depth to points", ("fsmde_core/clouds",), CORE),
    "outputs": Box(
        6,
        6,
        "node/outputs",
        "publishes what\nsomebody hears",
        ("fsmde_ros/node/outputs.py", "fsmde_ros/middleware"),
        ROS,
    ),
    "recordings": Box(0, 2.1, "recordings", "bags, data sets,\nsynthetic streets", (), OUTSIDE),
    "sources": Box(
        1, 2.1, "sources", "frames of one type,\nwith lidar", ("fsmde_core/sources", "fsmde_core/messages"), CORE
    ),
    "client": Box(0, 4.2, "client", "plays into the node,\nlistens to it", ("fsmde_ros/client",), ROS),
    "evaluation": Box(
        5,
        2.1,
        "evaluation, mounts",
        "depth against lidar,\nviews against views",
        ("fsmde_core/evaluation", "fsmde_core/mounts"),
        CORE,
    ),
    "report": Box(6, 2.1, "report, views", "HTML, pictures,\nRerun", ("fsmde_core/report", "fsmde_core/views"), CORE),
    "sets": Box(1, 0, "sets", "rectified images\nand labels on disk", ("training/fsmde_training/sets",), TRAINING),
    "teachers": Box(
        2, 0, "teachers", "foundation model,\nbins of stage 0", ("training/fsmde_training/teachers",), TRAINING
    ),
    "distill": Box(
        3,
        0,
        "supervised, distill",
        "batch to loss:\nnetworks, losses",
        (
            "training/fsmde_training/distill",
            "training/fsmde_training/supervised",
            "training/fsmde_training/losses",
            "training/fsmde_training/networks",
        ),
        TRAINING,
    ),
    "export": Box(4, 0, "export", "checkpoint to ONNX", ("training/fsmde_training/export",), TRAINING),
}
# from, to, what passes
ARROWS = (
    ("cameras", "inputs", "DDS"),
    ("inputs", "rectifier", "raw image"),
    ("inputs", "sync", "stamp"),
    ("sync", "slot", "ImageSet"),
    ("slot", "worker", ""),
    ("rectifier", "worker", "RGB"),
    ("worker", "engines", "batch"),
    ("engines", "clouds", "depth,\nsigma"),
    ("clouds", "outputs", "points"),
    ("recordings", "sources", ""),
    ("sources", "client", "Frame"),
    ("client", "cameras", "played back"),
    ("outputs", "evaluation", "replay"),
    ("sources", "sets", "Frame"),
    ("evaluation", "report", "JSON"),
    ("sets", "teachers", ""),
    ("teachers", "distill", "targets"),
    ("distill", "export", "weights"),
    ("export", "engines", "ONNX: images, focal\nto depth, sigma"),
    ("sources", "evaluation", "Frame with lidar"),
)


def main() -> None:
    """Check that all rooms exist, and draw."""
    missing = [room for box in BOXES.values() for room in box.rooms if not (ROOT / room).exists()]
    if missing:
        raise SystemExit(f"these rooms do not exist, correct BOXES: {missing}")
    matplotlib.rcParams["svg.hashsalt"] = "architecture"  # the same file from the same boxes
    figure, axes = plt.subplots(figsize=(18, 6.2))
    axes.set(xlim=(-0.4, 6 * COLUMN + WIDTH + 0.4), ylim=(-0.2, 8.0))
    axes.axis("off")
    for box in BOXES.values():
        _draw_box(axes, box)
    for start, end, label in ARROWS:
        _draw_arrow(axes, BOXES[start], BOXES[end], label)
    _draw_legend(axes)
    figure.savefig(OUT, bbox_inches="tight", metadata={"Date": None})


def _draw_box(axes: Axes, box: Box) -> None:
    shape = FancyBboxPatch((box.x, box.y), WIDTH, HEIGHT, "round,pad=0.05", facecolor=box.colour, edgecolor="#555555")
    axes.add_patch(shape)
    middle = box.x + WIDTH / 2
    axes.text(middle, box.y + HEIGHT - 0.2, box.title, ha="center", va="center", weight="bold", fontsize=9.5)
    axes.text(middle, box.y + 0.37, box.text, ha="center", va="center", fontsize=8.5)


def _draw_arrow(axes: Axes, start: Box, end: Box, label: str) -> None:
    a, b = _borders(start, end)
    axes.add_patch(FancyArrowPatch(a, b, arrowstyle="-|>", mutation_scale=12, color="#333333", shrinkA=3, shrinkB=3))
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    upright = abs(a[0] - b[0]) < 0.5
    place = (x + 0.12, y) if upright else (x, y + 0.1)
    axes.text(*place, label, ha="left" if upright else "center", va="center" if upright else "bottom", fontsize=7.5)


def _borders(start: Box, end: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where the arrow leaves one box and meets the other: sideways in one row, else up and down."""
    if abs(start.y - end.y) < HEIGHT:
        sign = 1 if end.x > start.x else -1
        return _edge(start, sign, 0), _edge(end, -sign, 0)
    sign = 1 if end.y > start.y else -1
    return _edge(start, 0, sign), _edge(end, 0, -sign)


def _edge(box: Box, across: int, up: int) -> tuple[float, float]:
    """Return the middle of one side of a box."""
    return box.x + WIDTH / 2 + across * (WIDTH / 2 + 0.05), box.y + HEIGHT / 2 + up * (HEIGHT / 2 + 0.05)


def _draw_legend(axes: Axes) -> None:
    names = ((CORE, "fsmde_core: no ROS, no torch"), (ROS, "fsmde_ros"), (TRAINING, "training"), (OUTSIDE, "outside"))
    for place, (colour, name) in enumerate(names):
        axes.add_patch(
            FancyBboxPatch((5 * place, 7.6), 0.35, 0.22, "round,pad=0.03", facecolor=colour, edgecolor="#555555")
        )
        axes.text(5 * place + 0.55, 7.71, name, va="center", fontsize=9)


if __name__ == "__main__":
    main()
