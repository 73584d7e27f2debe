"""Finds the versions of what matters, for `fsmde info` and the demo's summary."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("fsmde_ros", "numpy", "opencv-python-headless", "onnx", "onnxruntime", "openvino", "torch", "rosbags")


def package_versions() -> dict[str, str]:
    """Return package -> version of those installed, Python first, from pip's metadata; nothing is imported."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
