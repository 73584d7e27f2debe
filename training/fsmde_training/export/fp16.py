"""Converts the network to half precision; inputs and outputs stay float32, as the model contract wants them."""

from __future__ import annotations

from pathlib import Path

import onnx

from fsmde_core.engines.precision import to_half
from fsmde_core.engines.self_check import Deviation
from fsmde_core.errors import FsmdeError
from fsmde_training.export.compare import compare
from fsmde_training.export.onnx import set_metadata

LIMIT = Deviation(median=5e-3, p99=5e-2)
"""A file that deviates more from the float32 file is refused. A rounding is at most 2^-11 = 4.9e-4 relative; those of
some 67 convolutions add up to sqrt(67) * 4.9e-4 = 4e-3 of the logits, and a logit's error is one of log depth. At edges
a pixel lies between two depths: the shipped student has 1.8e-3 and 2.6e-2, the limit leaves twice that.
"""


def convert_fp16(path: Path, out: Path) -> Deviation:
    """Write a float32 ONNX file again with the network's weights and activations in float16.

    Args:
        path, out: The float32 file, and the file to write.

    Returns:
        How far `out` deviates from `path`.

    Raises:
        FsmdeError: The deviation is beyond LIMIT.
    """
    model = onnx.load(path)
    to_half(model)
    set_metadata(model, {"precision": "fp16"})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    found = compare(path, out)
    if not found.within(LIMIT):
        raise FsmdeError(f"{out.name}: float16 differs from float32 by {found}, at most {LIMIT} expected; export fp32")
    return found
