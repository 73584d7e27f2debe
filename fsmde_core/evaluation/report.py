"""An evaluation as a table for people and as JSON for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fsmde_core.evaluation.metrics import MEASURES, Metrics
from fsmde_core.evaluation.predictors import ModelPredictor
from fsmde_core.evaluation.run import Evaluation, Scores

if TYPE_CHECKING:
    from rich.table import Table


MODEL = ModelPredictor.name


def to_json(evaluation: Evaluation, predictor: ModelPredictor) -> dict[str, Any]:
    """The document of `fsmde evaluate --json`; docs/evaluation.md lists its keys."""
    baselines = {name: _scores(scores) for name, scores in evaluation.scores.items() if name != MODEL}
    engine = predictor.pipeline.engine
    p50, p99 = np.percentile(predictor.took_ms, [50, 99])
    return {
        "protocol": evaluation.protocol.name,
        "source": evaluation.source,
        "samples": evaluation.samples,
        "cap_m": evaluation.protocol.cap_m,
        "scaling": evaluation.protocol.scaling,
        "engine": engine.name,
        "device": engine.device,
        "model": engine.info.path.name,
        "model_sha256": engine.info.sha256,
        **_scores(evaluation.scores[MODEL]),
        "latency_ms": {"p50": float(p50), "p99": float(p99)},
        "baselines": baselines,
    }


def _scores(scores: Scores) -> dict[str, Any]:
    return {
        "cameras": {name: asdict(metrics) for name, metrics in scores.cameras.items()},
        "mean": asdict(scores.mean),
    }


def to_table(evaluation: Evaluation) -> Table:
    """The model's cameras and mean, and the baselines' means below; a rich table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    protocol = evaluation.protocol
    title = (
        f"{evaluation.source}: protocol {protocol.name}, {evaluation.samples} samples, "
        f"cap {protocol.cap_m:g} m, scaling {protocol.scaling}"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("camera")
    for name in (*MEASURES, "n"):
        table.add_column(name, justify="right")
    for name, metrics in evaluation.scores[MODEL].cameras.items():
        table.add_row(name, *_cells(metrics))
    table.add_section()
    for name, scores in evaluation.scores.items():
        table.add_row("mean" if name == MODEL else name, *_cells(scores.mean), style="bold" if name == MODEL else None)
    return table


def _cells(metrics: Metrics) -> list[str]:
    return [f"{getattr(metrics, name):.3f}" for name in MEASURES] + [str(metrics.n)]
