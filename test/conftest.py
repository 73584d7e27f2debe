"""Fixtures shared by all tests: where the real recordings are, and a tiny model of the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmde_core.sources.locate import find_recording
from tiny_model import write_tiny_model


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No child process and no shared-memory segment of Fast DDS outlives the tests."""
    before = _segments()
    yield
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in children]
    assert not [command for command in commands if "fsmde" in command]
    assert not _segments() - before


def _segments() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("*fastdds*")}


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
