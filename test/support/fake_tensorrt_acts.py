"""What the calls of `fake_tensorrt` do. An engine is the ONNX graph that it was built from, run by ONNX Runtime."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime

from support.tensorrt_rules import violations

if TYPE_CHECKING:
    from support.fake_tensorrt import FakeTensorRt

MAGIC = b"fake TensorRT plan\n"
SCRATCH = 4096
INPUTS = {"images": np.uint8, "focal": np.float32}
OUTPUTS = {"depth": np.float32, "sigma": np.float32}


class ILoggerBase:
    """Implemented by our code."""


class IProgressMonitorBase:
    """Implemented by our code."""


class Act:
    def __init__(self, fake: FakeTensorRt, *arguments: Any) -> None:
        self.fake = fake


class Builder(Act):
    def __init__(self, fake: FakeTensorRt, logger: Any) -> None:
        super().__init__(fake)
        fake.logger = logger

    def create_network(self, flags: int = 0) -> Any:
        return self.fake.make("INetworkDefinition", flags)

    def create_builder_config(self) -> Any:
        return self.fake.make("IBuilderConfig")

    def create_optimization_profile(self) -> Any:
        return self.fake.make("IOptimizationProfile")

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        """Three steps, of which the second has two of its own in another thread."""
        act = config._act
        assert set(act.profiles[0].shapes) == set(INPUTS), "every dynamic input needs a range"
        if not self._tell(act.progress_monitor):
            self.fake.error("the build was cancelled")
            return None
        act.cache.measured = True
        plan = {"version": self.fake.api["version"], "gpu": self.fake.gpu.name, "shapes": act.profiles[0].shapes}
        return self.fake.make("IHostMemory", MAGIC + json.dumps(plan).encode() + b"\n" + network._act.graph)

    @staticmethod
    def _tell(monitor: Any) -> bool:
        going = True

        def step(phase: str, number: int) -> None:
            nonlocal going
            going = going and monitor.step_complete(phase, number)

        def timing() -> None:
            monitor.phase_start("Timing", "Building", 2)
            step("Timing", 0)
            step("Timing", 1)
            monitor.phase_finish("Timing")

        monitor.phase_start("Building", None, 3)
        step("Building", 0)
        thread = threading.Thread(target=timing)
        thread.start()
        thread.join()
        step("Building", 1)
        monitor.phase_finish("Building")
        return going


class INetworkDefinition(Act):
    def __init__(self, fake: FakeTensorRt, flags: int) -> None:
        super().__init__(fake)
        strong = fake.api["classes"]["NetworkDefinitionCreationFlag"]["members"]["STRONGLY_TYPED"]
        self.strongly_typed = bool(flags >> strong & 1) or int(fake.api["version"].split(".")[0]) > 10
        self.graph = b""


class OnnxParser(Act):
    def __init__(self, fake: FakeTensorRt, network: Any, logger: Any) -> None:
        super().__init__(fake)
        self._network = network._act
        self._errors: list[str] = []

    def parse(self, model: bytes) -> bool:
        assert self._network.strongly_typed
        parsed = onnx.load_from_string(model)
        onnx.checker.check_model(parsed, full_check=True)
        self._errors = violations(parsed)
        self._network.graph = model
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self.fake.make("ParserError", self._errors[index])


class ParserError(Act):
    def __init__(self, fake: FakeTensorRt, text: str) -> None:
        super().__init__(fake)
        self._name, self._text = text.split(": ")

    def desc(self) -> str:
        return self._text

    def node_name(self) -> str:
        return self._name

    def node_operator(self) -> str:
        return self._text.split()[-1]


class IOptimizationProfile(Act):
    def __init__(self, fake: FakeTensorRt) -> None:
        super().__init__(fake)
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        assert input in INPUTS and all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self.shapes[input] = [min, opt, max]


class IBuilderConfig(Act):
    def __init__(self, fake: FakeTensorRt) -> None:
        super().__init__(fake)
        self.flags = {"TF32"}
        self.limits: dict[str, int] = {}
        self.profiles: list[Any] = []
        self.progress_monitor: Any = None
        self.cache: Any = None

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name.rpartition(".")[2])

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self.limits[pool.name.rpartition(".")[2]] = pool_size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile._act)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
        return self.fake.make("ITimingCache", serialized_timing_cache)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if not cache._act.fits() and not ignore_mismatch:
            return False
        self.cache = cache._act
        return True

    def get_timing_cache(self) -> Any:
        return self.fake.make("ITimingCache", self.cache.serialize()._act.data)


class ITimingCache(Act):
    def __init__(self, fake: FakeTensorRt, data: bytes) -> None:
        super().__init__(fake)
        self.measured, self.data = bool(data), data
        self._own = f"timing of {fake.gpu.name}".encode()

    def fits(self) -> bool:
        return self.data in (b"", self._own)

    def serialize(self) -> Any:
        return self.fake.make("IHostMemory", self._own if self.measured else b"")


class IHostMemory(Act):
    def __init__(self, fake: FakeTensorRt, data: bytes) -> None:
        super().__init__(fake)
        self.data = data


class Runtime(Act):
    def __init__(self, fake: FakeTensorRt, logger: Any) -> None:
        super().__init__(fake)
        fake.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        if not serialized_engine.startswith(MAGIC):
            self.fake.error("magicTag mismatch")
            return None
        header, _, graph = serialized_engine.removeprefix(MAGIC).partition(b"\n")
        plan = json.loads(header)
        if (plan["version"], plan["gpu"]) != (self.fake.api["version"], self.fake.gpu.name):
            self.fake.error("the engine is not from here")
            return None
        return self.fake.make("ICudaEngine", graph, plan["shapes"])


class ICudaEngine(Act):
    device_memory_size_v2 = SCRATCH

    def __init__(self, fake: FakeTensorRt, graph: bytes, shapes: dict[str, list[list[int]]]) -> None:
        super().__init__(fake)
        self.session = onnxruntime.InferenceSession(graph, _options(), providers=["CPUExecutionProvider"])
        self.shapes = shapes

    def create_execution_context(self, strategy: Any) -> Any:
        assert strategy.name.endswith("USER_MANAGED")
        return self.fake.make("IExecutionContext", self)


class IExecutionContext(Act):
    def __init__(self, fake: FakeTensorRt, engine: ICudaEngine) -> None:
        super().__init__(fake)
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._scratch = 0
        self._ran: object = None

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= SCRATCH
        self._scratch = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._engine.shapes[name]
        self._shapes[name] = shape
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def infer_shapes(self) -> list[str]:
        return sorted(set(INPUTS) - set(self._shapes))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert name in INPUTS | OUTPUTS
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert self._scratch and set(self._addresses) == set(INPUTS | OUTPUTS)
        stream = self.fake.gpu.streams[stream_handle]
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        if stream.graph is not None and self._ran != (shapes, addresses):
            self.fake.error("operations that are not permitted while a stream is captured")
            return False
        self._ran = (shapes, addresses)
        stream.put(lambda: self._run(shapes, addresses))
        return True

    def _run(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        gpu = self.fake.gpu
        gpu.write(self._scratch, np.random.default_rng(0).integers(0, 256, SCRATCH, dtype=np.uint8))
        feeds = {}
        for name, dtype in INPUTS.items():
            nbytes = int(np.prod(shapes[name])) * np.dtype(dtype).itemsize
            feeds[name] = gpu.read(addresses[name], nbytes).view(dtype).reshape(shapes[name])
        for name, values in zip(OUTPUTS, self._engine.session.run(list(OUTPUTS), feeds), strict=True):
            gpu.write(addresses[name], np.asarray(values))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options
