"""Our TensorRT modules on the fake TensorRT and the fake GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsmde_core.engines.model import read_model_info
from fsmde_core.engines.self_check import fixed_input
from fsmde_core.engines.tensorrt.cache import EngineCache
from fsmde_core.engines.tensorrt.progress import LogProgress
from support.fake_gpu import FakeDriver
from support.fake_tensorrt import FakeTensorRt

ON_TENSORRT = [f"fsmde_core.engines.tensorrt.{name}" for name in ("bindings", "build", "engine")]


@contextmanager
def on_fake_tensorrt(api: dict[str, Any]) -> Iterator[FakeTensorRt]:
    """Inside, `import tensorrt` finds the fake of this release, and the GPU is a `FakeDriver`."""
    fake = FakeTensorRt(api, FakeDriver())

    class Driver:
        @staticmethod
        def shared() -> FakeDriver:
            return fake.gpu

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", fake.module)
        patch.setattr("fsmde_core.cuda.driver.Driver", Driver)
        _forget()
        yield fake
    _forget()


def build_and_infer(model: Path, precision: str = "fp16") -> None:
    """All that a session does: build or find the engine, load it, infer, close."""
    from fsmde_core.engines.tensorrt.build import load_or_build_plan, max_cameras
    from fsmde_core.engines.tensorrt.engine import TensorRtEngine

    info = read_model_info(model)
    plan = load_or_build_plan(info, precision, 2, EngineCache(), LogProgress(), workspace=64)
    engine = TensorRtEngine(info, precision, plan, max_cameras(2))
    engine.infer(*fixed_input(info, 3))
    engine.stage_ms()
    engine.close()


def _forget() -> None:
    """Modules that have imported one TensorRT must be imported anew for another."""
    for name in ON_TENSORRT:
        sys.modules.pop(name, None)
