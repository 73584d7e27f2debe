"""Configures Fast DDS for images: in its default transport most best-effort camera frames are lost."""

from __future__ import annotations

import os
from pathlib import Path

from fsmde_core.paths import find_shared

FAST_DDS_2, FAST_DDS_3 = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
"""The environment variables from which these versions read their profiles. ROS still reads the older one for 3, too."""
_LIBRARIES = {"libfastrtps.so": FAST_DDS_2, "libfastdds.so": FAST_DDS_3}


def profile_variable() -> str | None:
    """Return the variable for the Fast DDS that rclpy has loaded; None for another middleware.

    Neither ROS_DISTRO nor the ament index can tell: wheels set neither. So rclpy is made to load its middleware.
    """
    from rclpy.utilities import get_rmw_implementation_identifier

    get_rmw_implementation_identifier()
    mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines()}
    found = [variable for name, variable in _LIBRARIES.items() if any(one.startswith(name) for one in mapped)]
    return found[0] if found else None


def unset_profile_variable() -> str | None:
    """Return the variable to set a profile in; None where one is chosen already, or for another middleware."""
    variable = profile_variable()
    return None if variable is None or os.environ.keys() & {variable, FAST_DDS_2} else variable


def use_shared_memory_profile() -> None:
    """Point Fast DDS at config/fastdds_shm.xml unless a profile is chosen already. Call it before rclpy.init."""
    profile, variable = find_shared("config/fastdds_shm.xml"), unset_profile_variable()
    if profile is not None and variable is not None:
        os.environ[variable] = str(profile)
