"""What others build on stays: commands, options, targets, launch arguments, parameters, topics, keys of JSON files.

A name that goes or changes breaks somebody's launch file, script or dashboard: it belongs into CHANGELOG.md, and then
into support/public_surface.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fsmde_ros.cli.app import app
from fsmde_ros.node.parameters import PARAMETERS
from support import public_surface
from support.repository import ROOT
from support.ros_harness import NAMES, open_stage

pytestmark = pytest.mark.ros

KNOWN: dict[str, Any] = json.loads((ROOT / "test" / "support" / "public_surface.json").read_text())


def written(out: Path, *arguments: str) -> Any:
    """The JSON file that a command writes."""
    result = CliRunner().invoke(app, [*arguments, "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text())


def test_commands_and_their_options() -> None:
    assert public_surface.commands(app) == KNOWN["commands"]


def test_executables_and_make_targets() -> None:
    assert public_surface.executables(ROOT) == KNOWN["executables"]
    assert public_surface.make_targets(ROOT) == KNOWN["make_targets"]


def test_launch_arguments() -> None:
    assert public_surface.launch_arguments(ROOT) == KNOWN["launch_arguments"]


def test_parameters() -> None:
    assert public_surface.parameters(PARAMETERS) == KNOWN["parameters"]


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_topics(transport: str, tmp_path: Path, tiny_model: Path) -> None:
    known = KNOWN["topics"]
    if transport == "compressed":
        images = ["/<camera>/image_raw/compressed sensor_msgs/msg/CompressedImage"]
        known = known | {"subscribes": [entry for entry in known["subscribes"] if "image_raw" not in entry] + images}
    with open_stage(tmp_path, tiny_model) as stage:
        # A namespace of its own: the graph still knows the node of the test before for a while.
        stage.node(image_transport=transport, namespace=transport)
        stage.spin_until(lambda: public_surface.topics(stage.nodes[0], NAMES) == known)
        assert public_surface.topics(stage.nodes[0], NAMES) == known


def test_keys_of_evaluate_and_bench(tmp_path: Path, tiny_model: Path) -> None:
    model = ("--model", str(tiny_model), "--engine", "onnxruntime")
    scored = written(tmp_path / "scored.json", "evaluate", "--source", "synthetic", "--frames", "0:2", *model)
    assert sorted(public_surface.key_paths(scored)) == KNOWN["keys"]["evaluate"]
    timed = written(tmp_path / "timed.json", "bench", "--no-live", *model)
    assert sorted(public_surface.key_paths(timed)) == KNOWN["keys"]["bench"]
