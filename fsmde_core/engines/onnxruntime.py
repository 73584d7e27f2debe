"""Runs models in ONNX Runtime: on the CPU it runs everywhere, and is the reference that every engine must follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch, first_line
from fsmde_core.engines.model import ModelInfo
from fsmde_core.errors import FsmdeError

CPU = "CPUExecutionProvider"
# TensorFloat-32, its default, has the digits of float16: not what the engine's precision promises.
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}


def open_session(
    path: Path, threads: int, optimise: bool = True, providers: Sequence[str] = (CPU,)
) -> onnxruntime.InferenceSession:
    """Open a session of an ONNX file; the runtime's own exceptions pass through.

    Args:
        path: The ONNX file.
        threads, optimise, providers: As in `OnnxRuntimeEngine`.

    Returns:
        The session.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=[(name, _OPTIONS.get(name, {})) for name in providers])


class OnnxRuntimeEngine:
    """Runs the model in a session of ONNX Runtime; every `infer` returns new arrays.

    threads: 0 leaves the number to the runtime. optimise: False runs the graph node by node as the file has it.
    providers: ONNX Runtime's names of its execution providers, e.g. `CUDAExecutionProvider`, in the order in which they
    are offered each part of the graph; the CPU takes what is left. Raises FsmdeError when one is not in this
    installation, or the first does not start.
    """

    name = "onnxruntime"
    precision = "f32"

    def __init__(
        self, info: ModelInfo, threads: int = 0, optimise: bool = True, providers: Sequence[str] = (CPU,)
    ) -> None:
        offered = onnxruntime.get_available_providers()
        for name in providers:
            if name not in offered:
                raise FsmdeError(
                    f"onnxruntime here has no provider '{name}', only {offered}; correct the list of providers or "
                    "install a build of onnxruntime with it"
                )
        try:
            self._session = open_session(info.path, threads, optimise, providers)
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise FsmdeError(f"model file {info.path} does not load in ONNX Runtime: {first_line(error)}") from error
        first = self._session.get_providers()[0]
        if first != providers[0]:  # the runtime only warns, and goes on with the next
            raise FsmdeError(f"onnxruntime's provider '{providers[0]}' does not start, it took '{first}'; see its log")
        self.device = first.removesuffix("ExecutionProvider")
        self.info = info

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        check_batch(self.info, images, focal)
        results: Any = self._session.run(["depth", "sigma"], {"images": images, "focal": focal})
        return DepthBatch(*results)

    def close(self) -> None:
        del self._session


def make_runner(path: Path, feeds: Mapping[str, NDArray[Any]], threads: int, precision: str) -> Callable[[], object]:
    session = open_session(path, threads)  # its precision is the file's
    return lambda: session.run(None, dict(feeds))


def variants(
    info: ModelInfo, threads: int, cameras: int, providers: Sequence[str] = (CPU,)
) -> Iterator[OnnxRuntimeEngine]:
    yield OnnxRuntimeEngine(info, threads, providers=providers)


def describe() -> EngineReport:
    return EngineReport("onnxruntime", onnxruntime.__version__, tuple(onnxruntime.get_available_providers()))
