"""The model contract: what fits is read, what does not is refused in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest

from fsmde_core import paths
from fsmde_core.engines import model
from fsmde_core.engines.model import read_model_info
from fsmde_core.errors import FsmdeError
from support.small_network import write_small_network
from support.tiny_model import HEIGHT, METADATA, WIDTH, write_tiny_model


def test_metadata_are_read(tiny_model: Path) -> None:
    info = read_model_info(str(tiny_model))
    assert (info.width, info.height, info.focal_canonical) == (WIDTH, HEIGHT, 100.0)
    assert (info.min_depth, info.max_depth) == (0.5, 200.0)
    assert (info.training_data, info.git_revision, info.licence) == ("none", "test", "Apache-2.0")
    assert info.sha256 == hashlib.sha256(tiny_model.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "content", [None, b"", b"garbage" * 50, b"\x08"], ids=["directory", "empty", "garbage", "short"]
)
def test_what_is_no_onnx_file(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(FsmdeError, match=r"model file .*model\.onnx"):
        read_model_info(path)


def test_missing_file_names_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"none\.onnx does not exist.*parameter 'model'"):
        read_model_info(tmp_path / "none.onnx")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_truncated_file(keep: float, tiny_model: Path, tmp_path: Path) -> None:
    data = tiny_model.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(FsmdeError, match=r"cut\.onnx"):
        read_model_info(path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    """The model's sha256 decides which TensorRT engine and which results are its own."""
    path = write_small_network(tmp_path / "small.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(FsmdeError, match=r"small\.onnx keeps weights in files beside it"):
        read_model_info(path)


def test_other_outputs(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "other.onnx", outputs=("disparity", "sigma"))
    with pytest.raises(FsmdeError, match=r"outputs are \[disparity float32 rank 3.*wants \[depth float32 rank 3"):
        read_model_info(path)


@pytest.mark.parametrize("key", METADATA)
def test_missing_metadata(key: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.onnx", {k: v for k, v in METADATA.items() if k != key})
    with pytest.raises(FsmdeError, match=f"metadata entry '{key}' is missing"):
        read_model_info(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("width", "wide", "malformed"),
        ("width", "448", "images are"),
        ("height", "0", "images are"),
        ("focal_canonical", "0", "focal_canonical > 0"),
        ("focal_canonical", "nan", "focal_canonical > 0"),
        ("min_depth", "300", "min_depth < max_depth"),
        ("max_depth", "inf", "min_depth < max_depth"),
    ],
)
def test_senseless_metadata(key: str, value: str, words: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.onnx", {**METADATA, key: value})
    with pytest.raises(FsmdeError, match=words):
        read_model_info(path)


def test_shipped_model_is_found_beside_the_sources_or_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    package = tmp_path / "lib" / "python3" / "site-packages" / "fsmde_core"
    monkeypatch.setattr(paths, "__file__", str(package / "paths.py"))
    with pytest.raises(FsmdeError, match="was not found"):
        model.default_model_path()
    for folder in (tmp_path / "share" / "fsmde_ros" / "models", package.parent / "models"):
        folder.mkdir(parents=True)
        (folder / model.DEFAULT_MODEL).write_bytes(tiny_model.read_bytes())
        assert model.default_model_path() == folder / model.DEFAULT_MODEL


def test_shipped_model_carries_no_paths_of_the_machine_it_was_made_on() -> None:
    path = paths.find_shared(f"models/{model.DEFAULT_MODEL}")
    if path is None:
        pytest.skip(f"models/{model.DEFAULT_MODEL} is not there")
    content = path.read_bytes()
    assert b'File "' not in content and b"site-packages" not in content
