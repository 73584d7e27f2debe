"""Export in one of three precisions, with what it costs against float32."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fsmde_core.engines.check import Deviation
from fsmde_core.errors import FsmdeError
from fsmde_training.checkpoint import load_student
from fsmde_training.export.calibration import load_calibration
from fsmde_training.export.compare import Cost, accuracy_cost, compare
from fsmde_training.export.fp16 import convert_fp16
from fsmde_training.export.int8 import quantize
from fsmde_training.export.onnx import Origin, check_export, export_onnx
from fsmde_training.student import Student

PRECISIONS = ("fp32", "fp16", "int8")
DEFAULT_CALIBRATION = "pandaset"


@dataclass(frozen=True)
class ExportReport:
    """difference: largest relative one between PyTorch and the float32 file. deviation: of the reduced precision from
    the float32 file. cost: in AbsRel on held-out frames; None where it was not measured.
    """

    path: Path
    precision: str
    difference: float
    deviation: Deviation | None = None
    cost: Cost | None = None


def export(
    student: Student | str | Path,
    out: str | Path,
    size: tuple[int, int] = (256, 448),
    precision: str = "fp32",
    calibration: str = DEFAULT_CALIBRATION,
    origin: Origin = Origin(),  # noqa: B008 (frozen)
) -> ExportReport:
    """Write `student`, or the checkpoint of one, for images of (height, width) = `size` as `out`.

    precision: one of PRECISIONS. calibration: see `load_calibration`; only int8 reads it. origin: for the metadata.
    Raises FsmdeError for another precision, without calibration images, and where a float32 or float16 file is further
    from its original than its precision explains; what int8 costs is measured and left to the caller to judge.
    """
    if precision not in PRECISIONS:
        raise FsmdeError(f"precision '{precision}' is unknown; use one of {', '.join(PRECISIONS)}")
    student = student.eval() if isinstance(student, Student) else load_student(student)
    out = Path(out)
    if precision == "fp32":
        return ExportReport(export_onnx(student, out, size, origin), precision, check_export(student, out))
    data = load_calibration(calibration, size) if precision == "int8" else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        original = export_onnx(student, Path(folder) / "float32.onnx", size, origin)
        difference = check_export(student, original)
        if data is None:
            return ExportReport(out, precision, difference, convert_fp16(original, out))
        quantize(original, out, data.images)
        cost = accuracy_cost(original, out, data.held_out) if data.held_out is not None else None
        return ExportReport(out, precision, difference, compare(original, out), cost)
