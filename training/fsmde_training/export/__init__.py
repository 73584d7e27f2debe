"""A trained student as an ONNX file of the model contract (fsmde_core.engines.model): float32, float16, or int8."""

from fsmde_training.export.onnx import TOLERANCE, Provenance, check_export, export_onnx
from fsmde_training.export.precision import PRECISIONS, ExportReport, export

__all__ = ["PRECISIONS", "TOLERANCE", "ExportReport", "Provenance", "check_export", "export", "export_onnx"]
