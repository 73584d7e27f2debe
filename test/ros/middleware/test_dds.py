"""The profile for images: given to whichever Fast DDS rclpy has, unless the user has chosen one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from fsmde_ros.middleware import dds
from fsmde_ros.middleware.dds import profile_variable, use_shared_memory_profile
from fsmde_ros.middleware.domain import claim_domain

OF_2, OF_3 = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (OF_2, OF_3, "ROS_DISTRO"):
        monkeypatch.setenv(name, "")  # so that the variable is put back in the end
        monkeypatch.delenv(name)


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("distribution", ["jazzy", "kilted", None])
@pytest.mark.parametrize(("wheel", "variable"), [("ros-fastrtps", OF_2), ("ros-fastdds", OF_3)])
def test_the_installed_fast_dds_decides_whatever_ros_distro_says(
    monkeypatch: pytest.MonkeyPatch, wheel: str, variable: str, distribution: str | None
) -> None:
    if not _is_installed(wheel):
        pytest.skip(f"{wheel} is not installed here")
    if distribution is not None:
        monkeypatch.setenv("ROS_DISTRO", distribution)
    assert profile_variable() == variable


@pytest.mark.parametrize(
    ("variable", "chosen", "found"),
    [
        (OF_2, {}, {OF_2: "fastdds_shm.xml"}),
        (OF_3, {}, {OF_3: "fastdds_shm.xml"}),
        (None, {}, {}),
        (OF_2, {OF_2: "own.xml"}, {OF_2: "own.xml"}),
        (OF_2, {OF_3: "own.xml"}, {OF_2: "fastdds_shm.xml", OF_3: "own.xml"}),
        (OF_3, {OF_3: "own.xml"}, {OF_3: "own.xml"}),
        (OF_3, {OF_2: "own.xml"}, {OF_2: "own.xml"}),
        (None, {OF_3: "own.xml"}, {OF_3: "own.xml"}),
    ],
)
def test_a_profile_is_set_unless_one_counts_already(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, chosen: dict[str, str], found: dict[str, str]
) -> None:
    """Fast DDS 2 knows nothing of the variable of 3; with 3, ROS reads both, and would mix two profiles."""
    monkeypatch.setattr(dds, "profile_variable", lambda: variable)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    use_shared_memory_profile()
    assert {name: Path(os.environ[name]).name for name in (OF_2, OF_3) if name in os.environ} == found


SEGMENTS = """
from pathlib import Path
from fsmde_ros.client.session import ros_node
with ros_node("camera"):
    lines = Path("/proc/self/maps").read_text().splitlines()
    print(max(Path(line.split()[-1]).stat().st_size for line in lines if "/dev/shm/fast" in line))
"""


def test_the_segment_of_a_node_holds_a_set_of_large_images() -> None:
    """In a process of its own, as Fast DDS reads its profile once."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(claim_domain())}
    done = subprocess.run([sys.executable, "-c", SEGMENTS], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 6 * 1920 * 1080 * 3
