"""Exports in one of three precisions, and measures what that costs against float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fsmde_core.engines.self_check import Deviation
from fsmde_core.errors import FsmdeError
from fsmde_training.export.calibration import load_calibration
from fsmde_training.export.compare import AccuracyCost, accuracy_cost, compare
from fsmde_training.export.fp16 import convert_fp16
from fsmde_training.export.int8 import quantize
from fsmde_training.export.onnx import Provenance, write_onnx
from fsmde_training.networks.checkpoint import DEFAULT_SIZE, load_student, trained_size
from fsmde_training.networks.student import Student

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class ExportReport:
    """Reports what an export measured.

    difference: Largest relative one between PyTorch and the float32 file.
    deviation: Of the reduced precision from the float32 file.
    cost: In AbsRel on held-out frames; None where it was not measured.
    """

    path: Path
    precision: str
    difference: float
    deviation: Deviation | None = None
    cost: AccuracyCost | None = None


def export(
    student: Student | str | Path,
    out: str | Path,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    calibration: str = "pandaset",
    origin: Provenance = Provenance(),  # noqa: B008
) -> ExportReport:
    """Write a student as an ONNX file; a file that was there is replaced when all went well.

    Args:
        student, out: The network or its checkpoint, and the new file.
        size: (height, width) of the images, pixels; None for the size that a checkpoint was trained for.
        precision: One of PRECISIONS.
        calibration: As in `load_calibration`; only int8 reads it.
        origin: For the metadata.

    Returns:
        The report; what int8 costs is left to the caller to judge. Raises FsmdeError for another precision, without
        calibration images, and where a float32 or float16 file is further from its original than that explains.
    """
    if precision not in PRECISIONS:
        raise FsmdeError(f"precision '{precision}' is unknown; use one of {', '.join(PRECISIONS)}")
    if size is None:
        size = DEFAULT_SIZE if isinstance(student, Student) else trained_size(student)
    student = student.eval() if isinstance(student, Student) else load_student(student)
    data = load_calibration(calibration, size) if precision == "int8" else None
    with _replacing(Path(out)) as file:
        original = file if precision == "fp32" else file.with_name(f"float32_{file.name}")
        report = ExportReport(Path(out), precision, write_onnx(student, original, size, origin))
        if precision == "fp16":
            return replace(report, deviation=convert_fp16(original, file))
        if data is not None:
            quantize(original, file, data.images)
            cost = accuracy_cost(original, file, data.held_out) if data.held_out is not None else None
            return replace(report, deviation=compare(original, file), cost=cost)
    return report


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a file of the same name to write, in a temporary folder beside `path`; moved there at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=path.parent) as folder:
        file = Path(folder) / path.name
        yield file
        file.replace(path)
