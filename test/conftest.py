"""Fixtures shared by all tests: where the real recordings are, and a tiny model of the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsmde_core.sources.locate import find_recording
from tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def pandaset_root() -> Path:
    return _recording("pandaset_002")


@pytest.fixture(scope="session")
def nuscenes_root() -> Path:
    return _recording("nuscenes_keyframe")


@pytest.fixture(scope="session")
def ddad_root() -> Path:
    return _recording("ddad_dgp")


def _recording(name: str) -> Path:
    root = find_recording(name)
    if root is None:
        pytest.skip(f"the recording {name} is neither in $FSMDE_DATA nor in ../shared/data")
    return root


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
