"""Runs models in OpenVINO, the fastest engine on the CPU, in bfloat16 where the processor computes it natively."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from fsmde_core.engines.base import DepthBatch, EngineReport, check_batch, first_line
from fsmde_core.engines.model import ModelInfo
from fsmde_core.errors import FsmdeError

ov: Any = openvino  # its type stubs leave out most of its names


@cache
def _core() -> Any:
    """Return the one Core of this process, never released.

    A Core's CPU plugin gives the thread a signal stack of its own and puts the former one back when it is released. Of
    two that are not released in reverse order the second puts back the first one's, which is gone by then: the next
    signal with a Python handler, Ctrl-C for one, would end the process by a segmentation fault.
    """
    return ov.Core()


class ImageStreams:
    """Runs an ONNX network image by image, whose inputs and outputs all have the images along their first axis.

    Images go side by side, each on few threads (OpenVINO's streams): threads that share every layer of one large batch
    wait for each other after each layer. Six images on two threads take 0.7 times as long as one batch of six.

    shapes: of the inputs for one image. threads: 0 leaves the number to the plugin. precision: None does so as well.
    """

    def __init__(self, path: Path, shapes: Mapping[str, Sequence[int]], threads: int, precision: str | None) -> None:
        self._model = _core().read_model(path)
        self._model.reshape({name: [1, *shape[1:]] for name, shape in shapes.items()})
        # Threads pinned to cores would wait for the one that receives images just then.
        self._config: dict[str, Any] = {"ENABLE_CPU_PINNING": False}
        if precision:
            self._config["INFERENCE_PRECISION_HINT"] = precision
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = threads
        probe = self._compile(PERFORMANCE_HINT="LATENCY")
        self.precision: str = probe.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._threads: int = threads or probe.get_property("INFERENCE_NUM_THREADS")
        self._compiled: dict[int, tuple[Any, list[Any]]] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        """Run the network on N images.

        Args:
            feeds: Input name -> (N, ...).
            outputs: Output name -> (N, ...), written to: the same names in every call.

        Raises:
            RuntimeError: A request failed; all have ended by then, as none may still use the arrays.
        """
        started, failures = [], []
        try:
            for index, request in enumerate(self._requests(len(next(iter(feeds.values()))))):
                one = slice(index, index + 1)
                for name, values in outputs.items():
                    request.set_tensor(name, ov.Tensor(values[one], shared_memory=True))
                request.start_async({name: values[one] for name, values in feeds.items()}, share_inputs=True)
                started.append(request)
        finally:
            for request in started:
                try:
                    request.wait()
                except RuntimeError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _requests(self, images: int) -> list[Any]:
        """Return one request per image; compiles when a number of streams is first needed (0.1 to 0.3 s)."""
        streams = stream_count(images, self._threads)
        if streams not in self._compiled:
            compiled = self._compile(NUM_STREAMS=streams, INFERENCE_NUM_THREADS=self._threads)
            self._compiled[streams] = (compiled, [])
        compiled, requests = self._compiled[streams]
        requests += [compiled.create_infer_request() for _ in range(images - len(requests))]
        return requests[:images]

    def _compile(self, **config: Any) -> Any:
        return _core().compile_model(self._model, "CPU", {**self._config, **config})


def stream_count(images: int, threads: int) -> int:
    # The least number of streams that need no more rounds than one stream per thread would.
    rounds = -(-images // min(images, threads))
    return -(-images // rounds)


class OpenVinoEngine:
    """Runs the model on the CPU. threads: 0 lets the plugin choose; precision: `f32`, or None for its choice."""

    name = "openvino"

    def __init__(self, info: ModelInfo, threads: int = 0, precision: str | None = None) -> None:
        self.info = info
        self.device = str(_core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
        shapes = {"images": (1, info.height, info.width, 3), "focal": (1,)}
        try:
            self._streams = ImageStreams(info.path, shapes, threads, precision)
        except RuntimeError as error:
            raise FsmdeError(f"model file {info.path} does not load in OpenVINO: {first_line(error)}") from error
        self.precision = self._streams.precision
        self._outputs = np.empty((2, 0, info.height, info.width), np.float32)

    def infer(self, images: NDArray[np.uint8], focal: NDArray[np.float32]) -> DepthBatch:
        check_batch(self.info, images, focal)
        if self._outputs.shape[1] < len(images):
            self._outputs = np.empty((2, len(images), *self._outputs.shape[2:]), np.float32)
        depth, sigma = self._outputs[:, : len(images)]
        self._streams.run({"images": images, "focal": focal}, {"depth": depth, "sigma": sigma})
        return DepthBatch(depth, sigma)

    def close(self) -> None:
        del self._streams


def make_runner(path: Path, feeds: Mapping[str, NDArray[Any]], threads: int, precision: str) -> Callable[[], object]:
    streams = ImageStreams(path, {name: values.shape for name, values in feeds.items()}, threads, precision)
    return lambda: streams.run(feeds, {})


def variants(info: ModelInfo, threads: int, cameras: int) -> Iterator[OpenVinoEngine]:
    engine = OpenVinoEngine(info, threads)
    yield engine
    if engine.precision != "f32":
        yield OpenVinoEngine(info, threads, "f32")


def describe() -> EngineReport:
    core = _core()
    devices = tuple(f"{name}: {core.get_property(name, 'FULL_DEVICE_NAME')}".strip() for name in core.available_devices)
    return EngineReport("openvino", ov.__version__.split("-")[0], devices)
