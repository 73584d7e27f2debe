"""Describes a camera that is not mounted as the rig says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Misalignment:
    """Describes the rotation of one camera against the rig, in degrees about its optical axes.

    Pitch is about x (right), yaw about y (down), roll about z (forward). `evidence` names what shows it, per subclass.
    """

    evidence: ClassVar[str]
    camera: str
    pitch: float
    yaw: float
    roll: float

    @property
    def degrees(self) -> float:
        return float(np.linalg.norm([self.pitch, self.yaw, self.roll]))


def misalignment_sentence(misaligned: Sequence[Misalignment]) -> str:
    """Write one sentence on at least one camera that one kind of evidence shows, the likeliest first."""
    worst = misaligned[0]
    names = " or ".join(f"'{entry.camera}'" for entry in misaligned)
    axes = f"pitch {worst.pitch:+.1f}, yaw {worst.yaw:+.1f}, roll {worst.roll:+.1f}"
    return (
        f"camera {names} is turned by {worst.degrees:.1f} degrees against the rig, as {worst.evidence} shows ({axes}); "
        "check its mount, then calibrate it anew"
    )
