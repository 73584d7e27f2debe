"""Checks whether cameras are still mounted as the rig says, by what neighbouring views share and by lidar."""

from fsmde_core.mounts.check import MountCheck, MountReport
from fsmde_core.mounts.estimate import Suspect
from fsmde_core.mounts.lidar import LidarMisalignment, LidarMountCheck
from fsmde_core.mounts.misalignment import Misalignment, misalignment_sentence
from fsmde_core.mounts.recording import MountSummary, check_recording

__all__ = [
    "LidarMisalignment",
    "LidarMountCheck",
    "Misalignment",
    "MountCheck",
    "MountReport",
    "MountSummary",
    "Suspect",
    "check_recording",
    "misalignment_sentence",
]
