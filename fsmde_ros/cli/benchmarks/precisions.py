"""Measures what each engine and precision costs in accuracy: AbsRel on lidar against float32 in ONNX Runtime.

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
from fsmde_core.errors import FsmdeError, exit_on_user_error
from fsmde_core.evaluation.evaluate import score_predictors
from fsmde_core.evaluation.predictors.predictors import MODEL, ModelPredictor
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.results.document import write_document
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.sources import open_source
from fsmde_core.sources.registry import FrameRange
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
    """Holds the accuracy of an ONNX file of precision `file` in an engine that computes in `arithmetic`.

    abs_rel: by recording. difference: relative, from that of the reference.
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
    # the precisions of every engine on those RUNS whose file is there; `fp32` in ONNX Runtime is the reference
    expected = _abs_rel(OnnxRuntimeEngine(read_model_info(files["fp32"])), recordings)
    for precision, name in RUNS:
        if precision not in files:
            continue
        for engine in engine_module(name).variants(read_model_info(files[precision]), 0, CAMERAS):
            found = _abs_rel(engine, recordings)
            difference = {recording: found[recording] / expected[recording] - 1 for recording in found}
            yield PrecisionRow(precision, name, engine.precision, found, difference)


def _abs_rel(engine: Engine, recordings: Sequence[Recording]) -> dict[str, float]:
    """Return AbsRel by the recording's name; the engine is closed."""
    with closing(CpuPipeline(engine)) as pipeline:
        predictor = ModelPredictor(pipeline)
        scores = {}
        for source, frames in recordings:
            protocol = make_protocol("surrounddepth", source.name)
            scores[source.name] = score_predictors(source, [predictor], protocol, frames).scores[MODEL].mean.abs_rel
    return scores


def make_files(path: Path, folder: Path) -> dict[str, Path]:
    # what `fsmde export` makes of the float32 file, int8 calibrated with PandaSet
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
    names = list(rows[0].abs_rel)
    lines = [f"| file | engine | arithmetic | {' | '.join(names)} | offered |", "|" + "---|" * (4 + len(names))]
    for row in rows:
        found = [f"{row.abs_rel[name]:.4f} ({row.difference[name]:+.2%})" for name in names]
        cells = [row.file, row.engine, row.arithmetic, *found, "yes" if row.offered else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="float32 ONNX file; the shipped student by default")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    recordings = [(open_source(kind), span) for kind, span in RECORDINGS.items()]
    path = options.model or default_model_path()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(compare(make_files(path, Path(folder)), recordings))
    print(markdown(rows))
    if options.json:
        document = {"model_sha256": read_model_info(path).sha256, "rows": [asdict(row) for row in rows]}
        write_document(options.json, document)


if __name__ == "__main__":
    with exit_on_user_error("precisions"):
        main()
