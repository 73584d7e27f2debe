"""OpenVINO on the CPU: the fastest engine there, in bfloat16 where the processor computes it natively."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch, first_line
from fsmde_core.errors import FsmdeError
from fsmde_core.model import ModelInfo

ov: Any = openvino  # its type stubs leave out most of its names


def compile_request(path: Path, shapes: dict[str, list[int]], threads: int, precision: str | None) -> Any:
    """An inference request of the ONNX file for fixed input shapes; threads 0, precision None: the plugin's choice."""
    # Threads pinned to cores would wait for the one that receives images just then.
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    core = ov.Core()
    model = core.read_model(path)
    model.reshape(shapes)
    return core.compile_model(model, "CPU", config).create_infer_request()


class OpenVinoEngine:
    """threads: 0 leaves the number to the plugin. precision: None is the plugin's choice, else `f32`.

    The network is compiled for each number of cameras when that number first comes (0.1 to 0.3 s): with fixed shapes
    it runs twice as fast as with a free batch size.
    """

    name = "openvino"

    def __init__(self, info: ModelInfo, threads: int = 0, precision: str | None = None) -> None:
        self._threads, self._hint = threads, precision
        self._requests: dict[int, Any] = {}
        self.info = info
        self.device = str(ov.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
        try:
            compiled = self._request(1).get_compiled_model()
        except RuntimeError as error:
            raise FsmdeError(f"model file {info.path} does not load in OpenVINO: {first_line(error)}") from error
        self.precision: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()

    def _request(self, count: int) -> Any:
        if count not in self._requests:
            shapes = {"images": [count, self.info.height, self.info.width, 3], "focal": [count]}
            self._requests[count] = compile_request(self.info.path, shapes, self._threads, self._hint)
        return self._requests[count]

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        """See `Engine.infer`; the result lies in the engine's buffers."""
        check_batch(self.info, images, focal)
        inputs = {"images": images, "focal": focal}
        outputs = self._request(len(images)).infer(inputs, share_inputs=True, share_outputs=True)
        return DepthBatch(outputs["depth"], outputs["sigma"])

    def close(self) -> None:
        """See `Engine.close`."""
        self._requests.clear()


def runner(path: Path, feeds: Mapping[str, NDArray[Any]], threads: int, precision: str) -> Callable[[], object]:
    """A call that runs any ONNX file on fixed inputs exactly as the engine runs its own: for comparisons of speed."""
    request = compile_request(path, {name: list(value.shape) for name, value in feeds.items()}, threads, precision)
    return lambda: request.infer(dict(feeds), share_inputs=True, share_outputs=True)


def variants(info: ModelInfo, threads: int) -> Iterator[OpenVinoEngine]:
    """The engines this library offers, best first: the plugin's precision, then f32 should that be too coarse."""
    engine = OpenVinoEngine(info, threads)
    yield engine
    if engine.precision != "f32":
        yield OpenVinoEngine(info, threads, "f32")


def describe() -> EngineReport:
    """The installed version and the devices it sees; the engine uses the CPU."""
    core = ov.Core()
    devices = tuple(f"{name}: {core.get_property(name, 'FULL_DEVICE_NAME')}".strip() for name in core.available_devices)
    return EngineReport("openvino", ov.__version__.split("-")[0], devices)
