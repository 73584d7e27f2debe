"""Loads an engine by name, or with `auto` the first that works here, and compares it with the ONNX reference."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from fsmde_core.engines.base import DepthBatch, Engine, EngineReport, first_line
from fsmde_core.engines.model import ModelInfo, read_model_info
from fsmde_core.engines.self_check import deviation, reference, tolerance
from fsmde_core.errors import FsmdeError

MODULES = {
    "tensorrt": "fsmde_core.engines.tensorrt.engine",
    "openvino": "fsmde_core.engines.openvino",
    "onnxruntime": "fsmde_core.engines.onnxruntime",
    "torch": "fsmde_core.engines.torch.engine",
}
"""The module of each engine. Its `variants(info, threads, cameras)` yields the engines that the library offers, the
fastest first, then more precise ones, should that be too coarse; its `describe()` reports version and devices.
"""

ENGINES = tuple(MODULES)
"""In the order in which `auto` tries them: the fastest first; torch right after TensorRT where it serves a GPU."""

log = logging.getLogger(__name__)


class AbsentEngineError(FsmdeError):
    """Reports that an engine's library is not installed here."""


def load_engine(
    name: str, model: str | Path, threads: int = 0, cameras: int = 2, providers: Sequence[str] = ()
) -> Engine:
    """Load a model into an engine and compare it with the reference.

    Args:
        name: One of `ENGINES`; or `auto`, which takes the first that works, logs one that does not as an error, and
            passes over an absent one quietly.
        model: The ONNX file.
        threads: CPU threads, 0 for the engine's own choice.
        cameras: Most images in a batch. Engines may build a network for each number, so fewer are compared too.
        providers: Execution providers of engine `onnxruntime`, as `OnnxRuntimeEngine` describes them.

    Returns:
        The engine.

    Raises:
        FsmdeError: The model is of another contract, the engine unknown or absent, or it disagrees with the reference.
    """
    if name not in ("auto", *ENGINES):
        raise FsmdeError(f"engine '{name}' is unknown, expected one of auto, {', '.join(ENGINES)}")
    if threads < 0:
        raise FsmdeError(f"threads is {threads}, expected 0 (the engine's choice) or more")
    if providers and name != "onnxruntime":
        raise FsmdeError(f"providers {list(providers)} are those of engine 'onnxruntime', but the engine is '{name}'")
    info = read_model_info(model)
    expected = reference(info, cameras)
    if name != "auto":
        return _load_checked(name, info, threads, expected, providers)
    reasons = []
    order = auto_order()
    for candidate in order:
        try:
            engine = _load_checked(candidate, info, threads, expected)
        except FsmdeError as error:
            level = logging.INFO if isinstance(error, AbsentEngineError) else logging.ERROR
            log.log(level, "engine %s is passed over: %s", candidate, error)
            reasons.append(str(error))
            continue
        log.info(
            "engine auto: %s on %s, %s, the first that works of %s", candidate, engine.device, engine.precision, order
        )
        return engine
    raise FsmdeError(f"no engine works for {info.path}: {'; '.join(reasons)}")


def auto_order() -> tuple[str, ...]:
    """Return `ENGINES` in the order in which `auto` tries them on this machine."""
    if not _torch_has_gpu():
        return ENGINES
    return ("tensorrt", "torch", *(name for name in ENGINES if name not in ("tensorrt", "torch")))


def _torch_has_gpu() -> bool:
    """Tell whether torch serves a GPU, without importing it, which takes seconds, where the driver has none."""
    if importlib.util.find_spec("torch") is None or not _driver_has_gpu():
        return False
    try:
        return bool(importlib.import_module("torch").cuda.is_available())
    except (ImportError, OSError):
        return False


def _driver_has_gpu() -> bool:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _load_checked(
    name: str, info: ModelInfo, threads: int, expected: DepthBatch, providers: Sequence[str] = ()
) -> Engine:
    """Return the first variant of the engine that follows the reference within its tolerance."""
    findings = []
    options = {"providers": providers} if providers else {}
    try:
        for engine in engine_module(name).variants(info, threads, len(expected.depth), **options):
            found, limit = deviation(engine, expected), tolerance(engine)
            if found.within(limit):
                log.info("engine %s in %s follows the reference: %s", name, engine.precision, found)
                return engine
            findings.append(f"{engine.precision} deviates by {found} (allowed {limit})")
            log.warning("engine %s in %s", name, findings[-1])
            engine.close()
    except FsmdeError:
        raise
    except Exception as error:  # whatever the library throws at a model it cannot run
        raise FsmdeError(f"engine {name} fails on {info.path}: {first_line(error)}") from error
    raise FsmdeError(f"engine {name} disagrees with the ONNX reference of {info.path}: {'; '.join(findings)}")


def engine_module(name: str) -> ModuleType:
    """Import the module of an engine; AbsentEngineError says what to install where its library is not there."""
    try:
        return importlib.import_module(MODULES[name])
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        raise AbsentEngineError(f"engine {name} cannot be used here ({first_line(error)}); install '{name}'") from error


def describe_engines() -> list[EngineReport]:
    """Describe every engine on this machine, in the order of `auto`."""
    rows = []
    for name in auto_order():
        try:
            rows.append(engine_module(name).describe())
        except Exception as error:  # a broken driver must not hide the other engines
            rows.append(EngineReport(name, reason=first_line(error)))
    return rows
