"""Fixtures shared by all tests: where the real recordings are, and a tiny model of the contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `support`

from fsmde_core.sources.registry import find_recording
from support.leftovers import wait_until_empty, watched_session
from support.small_network import write_small_network
from support.tensorrt_bindings import RELEASES, unpack
from support.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from support.fake_tensorrt import FakeTensorRt


FOLDERS = {"ros": "ros", "training": "torch"}
"""Markers by what all tests of a folder need; others mark themselves."""
RECORDINGS = {"pandaset_root", "nuscenes_root", "ddad_root"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what their folder and their fixtures need."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in FOLDERS:
            item.add_marker(FOLDERS[folder])
        if RECORDINGS & set(getattr(item, "fixturenames", ())):
            item.add_marker("data")


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process that the tests start and no shared-memory segment of Fast DDS that they make outlives them."""
    with watched_session() as watch:
        yield
    assert not wait_until_empty(watch.leftovers)


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


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_network(tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="session")
def tensorrt_apis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the bindings of each TensorRT release have; skips the test where their wheels are not at hand."""
    return {release: unpack(release, tmp_path_factory.mktemp("bindings")).api for release in RELEASES}


@pytest.fixture(params=[RELEASES[0], RELEASES[-1]])
def fake_tensorrt(
    request: pytest.FixtureRequest, tensorrt_apis: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeTensorRt]:
    """A TensorRT of the oldest and the newest release, with engines kept in `tmp_path`/engines."""
    from support.tensorrt_fake_setup import on_fake_tensorrt

    monkeypatch.setenv("FSMDE_ENGINES", str(tmp_path / "engines"))
    with on_fake_tensorrt(tensorrt_apis[request.param]) as fake:
        yield fake
