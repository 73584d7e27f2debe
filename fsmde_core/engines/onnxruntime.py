"""ONNX Runtime on the CPU: runs everywhere, and is the reference that every engine is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch, first_line
from fsmde_core.errors import FsmdeError
from fsmde_core.model import ModelInfo


def open_session(path: Path, threads: int, optimise: bool = True) -> onnxruntime.InferenceSession:
    """A CPU session of the ONNX file; threads 0 leaves their number to the runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class OnnxRuntimeEngine:
    """threads: 0 leaves the number to the runtime. optimise: False runs the graph node by node as the file has it."""

    name = "onnxruntime"
    device = "CPU"
    precision = "f32"

    def __init__(self, info: ModelInfo, threads: int = 0, optimise: bool = True) -> None:
        try:
            self._session = open_session(info.path, threads, optimise)
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise FsmdeError(f"model file {info.path} does not load in ONNX Runtime: {first_line(error)}") from error
        self.info = info

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """See `Engine.infer`; every call returns new arrays."""
        check_batch(self.info, images, focal)
        depth: Any
        sigma: Any
        depth, sigma = self._session.run(["depth", "sigma"], {"images": images, "focal": focal})
        return DepthBatch(depth, sigma)

    def close(self) -> None:
        """See `Engine.close`."""
        del self._session


def runner(path: Path, feeds: Mapping[str, NDArray[Any]], threads: int, precision: str) -> Callable[[], object]:
    """A call that runs any ONNX file on fixed inputs exactly as the engine runs its own; precision is the file's."""
    session = open_session(path, threads)
    return lambda: session.run(None, dict(feeds))


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[OnnxRuntimeEngine]:
    """The engines this library offers, best first."""
    yield OnnxRuntimeEngine(info, threads)


def describe() -> EngineReport:
    """The installed version and its execution providers."""
    return EngineReport("onnxruntime", onnxruntime.__version__, tuple(onnxruntime.get_available_providers()))
