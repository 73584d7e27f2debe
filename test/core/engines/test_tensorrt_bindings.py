"""What our code calls exists in every release of TensorRT's bindings, and every call may fail: the error names it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from fsmde_core.cuda.driver import Driver
from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from support.fake_gpu import FakeDriver
from support.fake_tensorrt import Call, FakeTensorRt, fits
from support.tensorrt_fake_setup import build_and_infer


def files(tmp_path: Path) -> list[str]:
    return sorted(path.suffix for path in (tmp_path / "engines").glob("*"))


def test_every_failing_call_of_tensorrt_is_named_and_leaves_no_engine(
    fake_tensorrt: FakeTensorRt, small_model: Path, tmp_path: Path
) -> None:
    build_and_infer(small_model)
    methods = sorted({call.name for call in fake_tensorrt.calls if call.kind == "method"} - OURS)
    assert len(methods) > 15
    for method in methods:
        for how in ("raises", "returns"):
            if how == "returns" and (method in MAY_RETURN or method.endswith("__init__")):
                continue
            for path in (tmp_path / "engines").iterdir():
                path.unlink()
            fake_tensorrt.failing = {method: how}
            owner, _, name = method.partition(".")
            name = name.replace("__init__", owner)
            with pytest.raises(FsmdeError, match=rf"TensorRT \S+ (failed in {name}: |cannot take)"):
                build_and_infer(small_model)
            if method not in AFTER_THE_BUILD:
                assert not {".engine", ".json"} & set(files(tmp_path)), method
            assert not [path for path in (tmp_path / "engines").iterdir() if path.name.startswith(".")]


OURS = {"ILogger.__init__", "IProgressMonitor.__init__"}
MAY_RETURN = {
    # None is all that these ever return, or their failure is not one: a build goes on without a timing cache.
    *(f"IBuilderConfig.{name}" for name in ("clear_flag", "set_memory_pool_limit", "create_timing_cache")),
    *("IBuilderConfig.set_timing_cache", "IBuilderConfig.get_timing_cache"),
    *("IOptimizationProfile.set_shape", "IExecutionContext.set_device_memory"),
}
AFTER_THE_BUILD = {
    *("Runtime.__init__", "Runtime.deserialize_cuda_engine", "ICudaEngine.create_execution_context"),
    *(f"IExecutionContext.{name}" for name in ("execute_async_v3", "infer_shapes", "set_device_memory")),
    *("IExecutionContext.set_input_shape", "IExecutionContext.set_tensor_address"),
}


def test_every_failing_call_of_the_driver_is_named(fake_tensorrt: FakeTensorRt, small_model: Path) -> None:
    build_and_infer(small_model)
    for call in sorted(fake_tensorrt.gpu.calls):
        fake_tensorrt.gpu.failing = {call: "out of memory"}
        with pytest.raises(FsmdeError, match=f"GPU call {call} failed: out of memory"):
            build_and_infer(small_model)


def test_every_name_and_signature_is_in_every_release(
    fake_tensorrt: FakeTensorRt,
    small_model: Path,
    tensorrt_apis: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build_and_infer(small_model)
    monkeypatch.setattr("fsmde_core.engines.tensorrt.network._cast_images_first", lambda graph: None)
    with pytest.raises(FsmdeError, match="cannot take this model"):
        load_engine("tensorrt", small_model, cameras=9)
    names = {call.name for call in fake_tensorrt.calls}
    assert {"IExecutionContext.execute_async_v3", "ParserError.node_operator", "BuilderFlag.TF32"} < names
    assert Call("IBuilderConfig.progress_monitor", "set") in fake_tensorrt.calls and len(names) > 35
    for release, api in tensorrt_apis.items():
        assert [call for call in fake_tensorrt.calls if not fits(api, call)] == [], release


def test_the_fake_refuses_what_the_bindings_do_not_have(fake_tensorrt: FakeTensorRt) -> None:
    trt = fake_tensorrt.module
    with pytest.raises(AttributeError):
        trt.Builder.build_cuda_engine  # noqa: B018
    with pytest.raises(TypeError, match="incompatible function arguments"):
        trt.Builder()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        fake_tensorrt.make("IOptimizationProfile").set_shape("images", (1,), (2,), maximum=(3,))
    with pytest.raises(AttributeError):
        fake_tensorrt.make("IBuilderConfig").max_workspace_size = 1


def test_the_fake_gpu_has_the_drivers_interface() -> None:
    for name, method in inspect.getmembers(FakeDriver, inspect.isfunction):
        if not name.startswith("_") and name not in ("read", "write"):
            assert list(inspect.signature(method).parameters) == list(
                inspect.signature(getattr(Driver, name)).parameters
            ), name
