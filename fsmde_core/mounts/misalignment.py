"""What is said of a camera that is not mounted as the rig says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Misalignment:
    """How one camera is turned against the rig, degrees about its optical axes: pitch about x (right), yaw about y
    (down), roll about z (forward). witness: what shows it, each subclass has its own.
    """

    witness: ClassVar[str]
    camera: str
    pitch: float
    yaw: float
    roll: float

    @property
    def degrees(self) -> float:
        return float(np.linalg.norm([self.pitch, self.yaw, self.roll]))


def misalignment_sentence(turned: Sequence[Misalignment]) -> str:
    """One sentence of at least one camera that one witness has found, the likeliest first."""
    worst = turned[0]
    names = " or ".join(f"'{entry.camera}'" for entry in turned)
    axes = f"pitch {worst.pitch:+.1f}, yaw {worst.yaw:+.1f}, roll {worst.roll:+.1f}"
    return (
        f"camera {names} is turned by {worst.degrees:.1f} degrees against the rig, as {worst.witness} shows ({axes}); "
        "check its mount, then calibrate it anew"
    )
