"""The core imports neither ROS nor torch: every module of it is imported where both are out of reach."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.repository import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "fsmde_core").rglob("*.py")
)
ON_PURPOSE = (".torch", ".tensorrt", "fsmde_core.cuda.driver", "fsmde_core.pipeline.gpu.cuda")
"""Rooms of one engine or device, which are imported when it is asked for."""
PROGRAM = """
import importlib, json, sys
for name in ("rclpy", "sensor_msgs", "std_msgs", "torch", "lightning", "tensorrt", "pycuda"):
    sys.modules[name] = None
failures = {}
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failures[name] = str(error)
print(json.dumps(failures))
"""


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """Modules that cannot be imported, with the reason."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(MODULES), capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", [name for name in MODULES if not any(room in name for room in ON_PURPOSE)])
def test_a_module_of_the_core_needs_neither_ros_nor_torch(module: str, failures: dict[str, str]) -> None:
    assert module not in failures, failures[module]


def test_the_program_finds_what_does_import_torch(failures: dict[str, str]) -> None:
    assert "torch" in failures["fsmde_core.engines.torch.engine"]
