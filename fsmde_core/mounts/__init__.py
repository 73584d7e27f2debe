"""Are the cameras still mounted as the rig says? Told from what neighbouring views both see."""

from fsmde_core.mounts.check import MountCheck, MountReport
from fsmde_core.mounts.estimate import Turned

__all__ = ["MountCheck", "MountReport", "Turned"]
