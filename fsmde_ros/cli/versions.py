"""Versions of what matters, and whether ROS 2 is here: for `fsmde info` and the demo's summary."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from fsmde_ros.middleware.dds import profile_variable

PACKAGES = ("fsmde_ros", "numpy", "opencv-python-headless", "onnx", "onnxruntime", "openvino", "torch", "rosbags")
ROS_PACKAGES = ("rclpy", "sensor_msgs", "diagnostic_msgs", "lifecycle_msgs", "tf2_msgs", "message_filters", "cv_bridge")


def package_versions() -> dict[str, str]:
    """Package -> version of those installed, Python first; pip's metadata are read, nothing is imported."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def ros_packages() -> dict[str, bool]:
    """ROS package -> whether it can be imported."""
    return {package: find_spec(package) is not None for package in ROS_PACKAGES}


def ros_environment() -> dict[str, str]:
    """The environment variables that decide how ROS 2 talks, as they are set here."""
    names = ("ROS_DISTRO", "ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", profile_variable())
    return {name: os.environ.get(name, "") for name in names}
