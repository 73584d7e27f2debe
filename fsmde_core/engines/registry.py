"""Choosing an engine: by name, or the best that works here; none serves unchecked."""

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

ENGINES = ("tensorrt", "openvino", "onnxruntime", "torch")
"""In the order in which `auto` tries them: the fastest first; torch right after TensorRT where it serves a GPU."""

MODULES = {"tensorrt": "tensorrt.variants", "torch": "torch.engine"}
"""Where an engine is more than one module."""

log = logging.getLogger(__name__)


class AbsentEngineError(FsmdeError):
    """The engine's library is not installed here."""


def load_engine(
    name: str, model: str | Path, threads: int = 0, cameras: int = 2, providers: Sequence[str] = ()
) -> Engine:
    """Load the ONNX file `model` into engine `name` (or `auto`) and compare it with the reference.

    threads: CPU threads, 0 for the engine's own choice. cameras: most images in a batch; engines may build a network
    for each number of them, so batches of fewer are compared too. providers: of engine `onnxruntime`, see
    `OnnxRuntimeEngine`. Raises FsmdeError for a model of another contract, an unknown or absent engine, and an engine
    that disagrees with the reference; `auto` logs such an engine as an error and takes the next. It passes over an
    absent one quietly.
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
    """`ENGINES` as `auto` tries them on this machine."""
    if not _torch_has_gpu():
        return ENGINES
    return ("tensorrt", "torch", *(name for name in ENGINES if name not in ("tensorrt", "torch")))


def _torch_has_gpu() -> bool:
    """Whether torch serves a GPU. It is not imported, which takes seconds, where the driver has none to offer."""
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
    """The first variant of the engine that follows the reference within its tolerance."""
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
    """The module of an engine by its name; AbsentEngine says what to install where its library is not there."""
    try:
        return importlib.import_module(f"fsmde_core.engines.{MODULES.get(name, name)}")
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        raise AbsentEngineError(f"engine {name} cannot be used here ({first_line(error)}); install '{name}'") from error


def describe_engines() -> list[EngineReport]:
    """One row per engine, in the order of `auto`."""
    rows = []
    for name in auto_order():
        try:
            rows.append(engine_module(name).describe())
        except Exception as error:  # a broken driver must not hide the other engines
            rows.append(EngineReport(name, reason=first_line(error)))
    return rows
