"""Result documents of `fsmde evaluate --json`, written by hand: every section, plausible numbers."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

CAMERAS = ("front", "front_right", "back_right", "back", "back_left", "front_left")


def scores(abs_rel: float, n: int = 12345) -> dict[str, Any]:
    """Measures that go with this AbsRel."""
    return {
        "abs_rel": abs_rel,
        "sq_rel": 12.3 * abs_rel,
        "rmse": 41.7 * abs_rel,
        "rmse_log": 1.61 * abs_rel,
        "a1": max(0, 1 - 1.1 * abs_rel),
        "a2": max(0, 1 - 0.4 * abs_rel),
        "a3": 1 - 0.2 * abs_rel,
        "n": n,
    }


def group(abs_rel: float, cameras: tuple[str, ...] = CAMERAS) -> dict[str, Any]:
    """Scores per camera around this AbsRel, and their mean."""
    spread = {name: scores(abs_rel * (0.8 + 0.1 * i), 2000 + i) for i, name in enumerate(cameras)}
    return {"cameras": spread, "mean": scores(sum(s["abs_rel"] for s in spread.values()) / len(spread))}


def document(abs_rel: float = 0.1234, cameras: tuple[str, ...] = CAMERAS, **changes: Any) -> dict[str, Any]:
    """A whole document; `changes` replace entries."""
    edges = {f"{a}/{b}": abs_rel + 0.01 * i for i, (a, b) in enumerate(pairwise(cameras))}
    removed = [i / 20 for i in range(20)]
    extremes = [{"frame": 40 + i, "stamp_ns": 1000 + i, "camera": cameras[0], "abs_rel": 0.1, "n": 9} for i in range(4)]
    whole = {
        "protocol": "surrounddepth", "source": "pandaset", "kind": "pandaset", "root_name": "pandaset_002",
        "span": [40, 50], "frames": 10, "samples": 5, "cap_m": 80.0, "scaling": "none", "flip": False,
        "engine": "openvino", "device": "a CPU", "precision": "bf16", "model": "fsmde_student.onnx",
        "model_sha256": "ab" * 32,
        "environment": {"package": "0.1.0", "python": "3.11.2", "numpy": "2.4.6", "opencv": "5.0.0",
                        "engine_version": "2026.4", "platform": "Linux", "cpu": "a CPU"},
        **group(abs_rel, cameras),
        "latency_ms": {"p50": 30.25, "p95": 35.5, "p99": 41.0},
        "baselines": {"constant": group(0.534, cameras), "ground_plane": group(3.075, cameras)},
        "bands": {band: group(abs_rel * factor, cameras)
                  for band, factor in (("0-10", 0.6), ("10-20", 0.9), ("20-40", 1.3), ("40-80", 2.1))},
        "thirds": {third: group(abs_rel * factor, cameras)
                   for third, factor in (("bottom", 0.7), ("middle", 1.1), ("top", 1.6))},
        "sigma": {
            "coverage": {"1": 0.512, "2": 0.874}, "n": 70000, "ause": 0.031,
            "sparsification": {"removed": removed, "abs_rel": [abs_rel * (1 - 0.6 * r) for r in removed],
                               "oracle": [abs_rel * (1 - r) ** 1.5 for r in removed], "random": abs_rel},
        },
        "consistency": {"lidar": {"edges": edges, "mean": 0.15, "n": 4000},
                        "overlap": {"edges": edges, "mean": 0.16, "n": 900}},
        "steadiness": {"cameras": dict.fromkeys(cameras, 0.021), "mean": 0.021, "n": 100000, "interval_s": 0.2},
        "extremes": {"best": extremes, "worst": extremes[::-1]},
        "notes": [],
    }  # fmt: skip
    return whole | changes


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write the document to `path`."""
    path.write_text(json.dumps(content))
    return path
