"""The real Python bindings of several TensorRT releases, imported without TensorRT: against empty stub libraries.

TensorRT for RTX comes with its library, whose parser and builder work without a GPU. `make` downloads the wheels. As
one process can import one release only, each has a process of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

WHEELS = Path(sys.prefix) / "tensorrt-bindings"
PACKAGES = Path(__file__).with_suffix(".txt").read_text().split()
RELEASES = [package.split("==")[1] for package in PACKAGES if package.startswith("tensorrt-cu")]

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
# What the bindings take from the libraries. Here each returns null, as it does where TensorRT fails.
SYMBOLS = (
    *(f"createInfer{name}_INTERNAL" for name in ("Builder", "Refitter", "Runtime")),
    *(f"createNvOnnxParser{name}_INTERNAL" for name in ("", "Refitter")),
    *("getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins"),
)


@dataclass(frozen=True)
class Bindings:
    """One release, unpacked in `folder`: on sys.path it is called `tensorrt_bindings`, or `tensorrt_rtx_bindings`."""

    folder: Path

    def run(self, script: str) -> str:
        """Standard output of a Python script in a process that finds this release; its errors are the test's."""
        path = f"{self.folder}:{Path(__file__).parent}:{Path(__file__).parents[2]}"
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @cached_property
    def api(self) -> dict[str, Any]:
        """What `tensorrt_bindings_api.dump` says of this release."""
        return json.loads(self.run("import tensorrt_bindings as t, tensorrt_bindings_api as a; print(a.dump(t))"))


def unpack(release: str, folder: Path) -> Bindings:
    """Unpack the wheel of a release and lay stub libraries beside it; skips the test where that is not possible."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    _extract(f"tensorrt_cu*_bindings-{release}-*.whl", folder)
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for library in LIBRARIES:
        target = folder / "tensorrt_bindings" / f"lib{library}.so.{release.split('.')[0]}"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", target, source], check=True)
    return Bindings(folder)


def unpack_rtx(folder: Path) -> Bindings:
    """Unpack TensorRT for RTX, bindings and library; skips the test where its wheels are not there."""
    for part in ("bindings", "libs"):
        _extract(f"tensorrt_rtx_cu*_{part}-*.whl", folder)
    return Bindings(folder)


def _extract(pattern: str, folder: Path) -> None:
    wheels = list(WHEELS.glob(pattern))
    if not wheels:
        pytest.skip(f"no {pattern} in {WHEELS}; make puts it there")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
