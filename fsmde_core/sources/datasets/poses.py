"""Reads poses as recordings hold them: a quaternion of any length, which must be a rotation, and metres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix, rigid, rotation_from_quaternion


def recorded_pose(wxyz: Iterable[float], translation: Sequence[float]) -> Matrix:
    T = rigid(rotation_from_quaternion(*wxyz), translation)
    if not np.all(np.isfinite(T)):
        raise FsmdeError(f"a translation must be finite, not {list(translation)}")
    return T
