"""`fsmde mounts`: the camera that it names, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fsmde_core.rig.rig import save_rig
from fsmde_core.sources.datasets.pandaset import PandaSetSource
from fsmde_ros.cli.app import app
from support.turned_rigs import with_turned


@pytest.fixture(scope="module")
def pandaset(pandaset_root: Path) -> PandaSetSource:
    return PandaSetSource(pandaset_root)


@pytest.mark.parametrize(("degrees", "code"), [(0.0, 0), (-2.0, 1)])
def test_the_command_names_the_camera_and_says_so_by_its_exit_code(
    pandaset: PandaSetSource, tmp_path: Path, degrees: float, code: int
) -> None:
    save_rig(with_turned(pandaset.rig, "back", "yaw", degrees), tmp_path / "rig.yaml")
    options = ("--source", "pandaset", "--root", str(pandaset.root), "--frames", "0:11")
    result = CliRunner().invoke(app, ["mounts", *options, "--rig", str(tmp_path / "rig.yaml")])
    assert result.exit_code == code, result.output
    assert "11 frames, 6 sweeps" in result.output
    assert ("camera 'back' is turned by " in result.output) == (code == 1)
    assert "camera 'left'" not in result.output
