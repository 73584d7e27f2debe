"""Poses as recordings hold them: a quaternion and a translation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix, rigid, rotation_from_quaternion


def recorded_pose(wxyz: Iterable[float], translation: Sequence[float]) -> Matrix:
    """(4, 4) of a quaternion of any length and metres; FsmdeError unless it is a rotation and finite."""
    T = rigid(rotation_from_quaternion(*wxyz), translation)
    if not np.all(np.isfinite(T)):
        raise FsmdeError(f"a translation must be finite, not {list(translation)}")
    return T
