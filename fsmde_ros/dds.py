"""Fast DDS set up for images: without it most best-effort camera frames are lost in the default transport."""

from __future__ import annotations

import os

from fsmde_core.share import find_shared

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def use_shared_memory_profile() -> None:
    """Point Fast DDS at config/fastdds_shm.xml unless a profile is chosen already. Call it before rclpy.init."""
    profile = find_shared("config/fastdds_shm.xml")
    if profile is not None:
        os.environ.setdefault(PROFILE_VARIABLE, str(profile))
