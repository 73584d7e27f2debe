"""Configures Fast DDS for images: in its default transport most best-effort camera frames are lost."""

from __future__ import annotations

import os

from fsmde_core.paths import find_shared


def profile_variable() -> str:
    """Return the environment variable from which the distribution's Fast DDS reads its profiles; 3.0 renamed it."""
    has_fastdds_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if has_fastdds_2 else "FASTDDS_DEFAULT_PROFILES_FILE"


def use_shared_memory_profile() -> None:
    """Point Fast DDS at config/fastdds_shm.xml unless a profile is chosen already. Call it before rclpy.init."""
    profile = find_shared("config/fastdds_shm.xml")
    if profile is not None:
        os.environ.setdefault(profile_variable(), str(profile))
