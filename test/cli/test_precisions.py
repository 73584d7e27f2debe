"""The table of engines and precisions: the reference costs nothing, a file with other depths does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fsmde_core.sources.datasets.nuscenes import NuScenesSource
from fsmde_ros.cli.benchmarks.precisions import PrecisionRow, compare, markdown


def row(**difference: float) -> PrecisionRow:
    return PrecisionRow("int8", "openvino", "bf16", {name: 0.2 * (1 + d) for name, d in difference.items()}, difference)


def test_a_precision_is_offered_where_it_costs_no_recording_more_than_one_percent() -> None:
    assert row(pandaset=0.01, ddad=-0.05).offered
    assert not row(pandaset=0.0, ddad=0.0101).offered
    assert not row(pandaset=float("nan")).offered


def test_table_shows_each_recording() -> None:
    last = markdown([row(pandaset=0.05, ddad=0.0)]).splitlines()[-1]
    assert last == "| int8 | openvino | bf16 | 0.2100 (+5.00%) | 0.2000 (+0.00%) | no |"


@pytest.mark.data
def test_other_depths_are_other_figures(tiny_model: Path, nuscenes_root: Path, tmp_path: Path) -> None:
    """The file in the place of `fp16` has depths of 5 % more."""
    model = onnx.load(tiny_model)
    for tensor in model.graph.initializer:
        if tensor.name == "hundred":
            tensor.CopyFrom(numpy_helper.from_array(np.float32(100 / 1.05), "hundred"))
    onnx.save(model, tmp_path / "more.onnx")
    source = NuScenesSource(nuscenes_root)
    rows = list(compare({"fp32": tiny_model, "fp16": tmp_path / "more.onnx"}, [(source, (0, None))]))
    assert {(one.file, one.engine) for one in rows} >= {("fp32", "onnxruntime"), ("fp16", "openvino")}
    same = [one for one in rows if one.file == "fp32" and one.arithmetic == "f32"]
    assert same[0].difference == {source.name: 0.0}
    assert all(abs(one.difference[source.name]) < 1e-5 and one.offered for one in same)
    assert [one.offered for one in rows if one.file == "fp16" and one.arithmetic == "f32"] == [False, False]
