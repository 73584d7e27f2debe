"""Reads model files by their contract: one ONNX file, its tensors, and the metadata that make its depth metric."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_core.paths import find_shared

DEFAULT_MODEL = "fsmde_student.onnx"
INPUTS = {"images": ("uint8", 4), "focal": ("float32", 1)}
OUTPUTS = {"depth": ("float32", 3), "sigma": ("float32", 3)}
METADATA: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("width", "height"), int),
    **dict.fromkeys(("focal_canonical", "min_depth", "max_depth"), float),
    **dict.fromkeys(("training_data", "git_revision", "licence"), str),
}


@dataclass(frozen=True)
class ModelInfo:
    """Describes an ONNX file. Sizes are in pixels, the focal length in pixels at that size, depths in metres."""

    path: Path
    sha256: str
    width: int
    height: int
    focal_canonical: float
    min_depth: float
    max_depth: float
    training_data: str
    git_revision: str
    licence: str


def read_model_info(path: str | Path) -> ModelInfo:
    """Check an ONNX file against the contract and read its metadata; FsmdeError says what does not fit."""
    import onnx

    path = Path(path)
    if not path.is_file():
        raise FsmdeError(
            f"model file {path} does not exist; give an ONNX file of the fsmde contract (parameter 'model')"
        )
    data = path.read_bytes()
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf raises its own DecodeError
        raise FsmdeError(f"model file {path} is not an ONNX file ({type(error).__name__})") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise FsmdeError(
            f"model file {path} keeps weights in files beside it, which its sha256 does not cover; save it as one file"
        )
    _check_tensors(path, "input", model.graph.input, INPUTS)
    _check_tensors(path, "output", model.graph.output, OUTPUTS)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        values = {name: convert(metadata[name]) for name, convert in METADATA.items()}
    except (KeyError, ValueError) as error:
        raise FsmdeError(
            f"model file {path}: metadata entry {error} is missing or malformed; export it with 'fsmde export'"
        ) from error
    info = ModelInfo(path, hashlib.sha256(data).hexdigest(), **values)
    _check_values(info, model.graph.input)
    return info


def _check_values(info: ModelInfo, inputs: Iterable[Any]) -> None:
    """Check that the metadata make sense, and agree with the input's shape where the graph fixes it."""
    if not (0 < info.focal_canonical < math.inf and 0 < info.min_depth < info.max_depth < math.inf):
        raise FsmdeError(
            f"model file {info.path}: expected focal_canonical > 0 and 0 < min_depth < max_depth in the metadata, "
            f"found {info.focal_canonical}, {info.min_depth}, {info.max_depth}"
        )
    dims = next(t.type.tensor_type.shape.dim for t in inputs if t.name == "images")
    shape = [dim.dim_param or dim.dim_value for dim in dims]
    if not isinstance(shape[0], str) or any(
        not isinstance(found, str) and found != expected
        for found, expected in zip(shape[1:], (info.height, info.width, 3), strict=True)
    ):
        raise FsmdeError(
            f"model file {info.path}: images are {shape}, the contract and the metadata want "
            f"['N', {info.height}, {info.width}, 3]; export it with 'fsmde export'"
        )


def _check_tensors(path: Path, kind: str, tensors: Iterable[Any], expected: dict[str, tuple[str, int]]) -> None:
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    dtypes = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    found = {t.name: (t.type.tensor_type.elem_type, len(t.type.tensor_type.shape.dim)) for t in tensors}
    wanted = {name: (dtypes[dtype], rank) for name, (dtype, rank) in expected.items()}
    if found != wanted:
        shown = ", ".join(
            f"{name} {tensor_dtype_to_np_dtype(dtype)} rank {rank}" for name, (dtype, rank) in found.items()
        )
        want = ", ".join(f"{name} {dtype} rank {rank}" for name, (dtype, rank) in expected.items())
        raise FsmdeError(
            f"model file {path}: {kind}s are [{shown}], the contract wants [{want}]; export it with 'fsmde export'"
        )


def default_model_path() -> Path:
    """Find the shipped student: beside the source tree, else in the package's installed share folder."""
    found = find_shared(Path("models") / DEFAULT_MODEL)
    if found is not None:
        return found
    raise FsmdeError(f"the shipped model {DEFAULT_MODEL} was not found; give one with the parameter 'model'")
