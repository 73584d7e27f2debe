"""The relative error that evaluation measures (AbsRel), as a loss."""

from __future__ import annotations

from torch import Tensor


def relative_error(depth: Tensor, target: Tensor) -> Tensor:
    """depth, target: (M,) positive depths in the same unit -> mean |depth - target| / target; M = 0 gives 0.

    Too far costs without bound, too near at most 1: where the truth is uncertain the estimate leans to the near side.
    """
    if target.numel() == 0:
        return depth.sum() * 0
    return ((depth.float() - target.float()).abs() / target.float()).mean()
