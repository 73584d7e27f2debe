"""What each engine and precision costs in accuracy: AbsRel on lidar beside the float32 file in ONNX Runtime.

python -m fsmde_ros.cli.benchmarks.precisions [MODEL.onnx] --json FILE measures the float32 file, and a float16
and an int8 file made from it, in every engine of the CPU, on the three sample recordings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from fsmde_core.engines.base import Engine
from fsmde_core.engines.model import default_model_path, read_model_info
from fsmde_core.engines.onnxruntime import OnnxRuntimeEngine
from fsmde_core.engines.registry import engine_module
from fsmde_core.errors import FsmdeError, one_sentence
from fsmde_core.evaluation.predictors.predictors import MODEL, ModelPredictor
from fsmde_core.evaluation.protocols.surrounddepth import make_protocol
from fsmde_core.evaluation.results.document import write_document
from fsmde_core.evaluation.run import evaluate
from fsmde_core.pipeline.pipeline import Pipeline
from fsmde_core.sources import open_source
from fsmde_core.sources.selection import FrameRange
from fsmde_core.sources.source import Source

LARGEST_COST = 0.01
"""Increase of AbsRel, relative to the reference, beyond which a precision is not offered."""
RUNS = (
    ("fp32", "onnxruntime"),
    ("fp32", "openvino"),
    ("fp32", "torch"),
    ("fp16", "onnxruntime"),
    ("fp16", "openvino"),
    ("int8", "onnxruntime"),
    ("int8", "openvino"),
)
"""Precision of the file, and the engine that runs it."""
RECORDINGS: Mapping[str, FrameRange] = {"pandaset": (40, 50), "nuscenes": (0, None), "ddad": (0, None)}
CAMERAS = 6

Recording = tuple[Source, FrameRange]


@dataclass(frozen=True)
class PrecisionRow:
    """file: precision of the ONNX file; arithmetic: of the engine.

    abs_rel: by recording. difference: of it from the reference's, relative.
    """

    file: str
    engine: str
    arithmetic: str
    abs_rel: dict[str, float]
    difference: dict[str, float]

    @property
    def offered(self) -> bool:
        return all(found <= LARGEST_COST for found in self.difference.values())


def compare(files: Mapping[str, Path], recordings: Sequence[Recording]) -> Iterator[PrecisionRow]:
    """Rows of those RUNS whose file is there, an engine's own precisions one after the other.

    files: by precision; `fp32`, in ONNX Runtime, is the reference.
    """
    expected = _abs_rel(OnnxRuntimeEngine(read_model_info(files["fp32"])), recordings)
    for precision, name in RUNS:
        if precision not in files:
            continue
        for engine in engine_module(name).variants(read_model_info(files[precision]), 0, CAMERAS):
            found = _abs_rel(engine, recordings)
            difference = {recording: found[recording] / expected[recording] - 1 for recording in found}
            yield PrecisionRow(precision, name, engine.precision, found, difference)


def _abs_rel(engine: Engine, recordings: Sequence[Recording]) -> dict[str, float]:
    """By the recording's name, under its protocol A; closes the engine."""
    with closing(Pipeline(engine)) as pipeline:
        predictor = ModelPredictor(pipeline)
        scores = {
            source.name: evaluate(source, [predictor], make_protocol("surrounddepth", source.name), span).scores[MODEL]
            for source, span in recordings
        }
    return {name: score.mean.abs_rel for name, score in scores.items()}


def make_files(path: Path, folder: Path) -> dict[str, Path]:
    """The float32 file `path`, and what `fsmde export` makes of it in float16 and in int8, calibrated with PandaSet.

    Raises FsmdeError without the training extra or the recording.
    """
    try:
        from fsmde_training.export.calibration import load_calibration
        from fsmde_training.export.fp16 import convert_fp16
        from fsmde_training.export.int8 import quantize
    except ImportError as error:
        raise FsmdeError(f"other precisions are made with PyTorch ({error}); pip install 'fsmde_ros[train]'") from error
    info = read_model_info(path)
    files = {"fp32": path, "fp16": folder / "fp16.onnx", "int8": folder / "int8.onnx"}
    convert_fp16(path, files["fp16"])
    quantize(path, files["int8"], load_calibration("pandaset", (info.height, info.width)).images)
    return files


def markdown(rows: Sequence[PrecisionRow]) -> str:
    """A table of the rows."""
    names = list(rows[0].abs_rel)
    lines = [
        f"| file | engine | arithmetic | {' | '.join(names)} | offered |",
        "|" + "---|" * (4 + len(names)),
    ]
    for row in rows:
        found = [f"{row.abs_rel[name]:.4f} ({row.difference[name]:+.2%})" for name in names]
        cells = [row.file, row.engine, row.arithmetic, *found, "yes" if row.offered else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=None, help="a float32 file; the shipped student if none")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    recordings = [(open_source(kind), span) for kind, span in RECORDINGS.items()]
    path = options.model or default_model_path()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(compare(make_files(path, Path(folder)), recordings))
    print(markdown(rows))
    if options.json:
        write_document(
            options.json, {"model_sha256": read_model_info(path).sha256, "rows": [asdict(row) for row in rows]}
        )


if __name__ == "__main__":
    with one_sentence("precisions"):
        main()
