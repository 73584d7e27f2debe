"""Writes a student as an ONNX file of the model contract (fsmde_core.engines.model) in float32, float16 or int8."""

from fsmde_training.export.export import PRECISIONS, ExportReport, export
from fsmde_training.export.onnx import TOLERANCE, Provenance, check_export

__all__ = ["PRECISIONS", "TOLERANCE", "ExportReport", "Provenance", "check_export", "export"]
