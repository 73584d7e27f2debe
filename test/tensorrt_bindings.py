"""The real Python bindings of several TensorRT releases, imported without TensorRT: against empty stub libraries.

`make` downloads their wheels. As one process can import one release only, each is described by a process of its own.
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
RELEASES = [line.split("==")[1] for line in Path(__file__).with_suffix(".txt").read_text().split()]

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
# What the bindings take from the libraries. Here each returns null, as it does where TensorRT fails.
SYMBOLS = (
    *(f"createInfer{name}_INTERNAL" for name in ("Builder", "Refitter", "Runtime")),
    *(f"createNvOnnxParser{name}_INTERNAL" for name in ("", "Refitter")),
    *("getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins"),
)


@dataclass(frozen=True)
class Bindings:
    """One release, unpacked in `folder`: to be put on sys.path, where it is called `tensorrt_bindings`."""

    folder: Path

    def run(self, script: str) -> str:
        """Standard output of a Python script in a process that finds this release; its errors are the test's."""
        path = f"{self.folder}:{Path(__file__).parent}:{Path(__file__).parent.parent}"
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
    wheels = list(WHEELS.glob(f"tensorrt_cu*_bindings-{release}-*.whl"))
    compiler = shutil.which("cc")
    if not wheels or compiler is None:
        pytest.skip(f"no wheel of TensorRT {release}'s bindings in {WHEELS}" if compiler else "no C compiler")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for library in LIBRARIES:
        target = folder / "tensorrt_bindings" / f"lib{library}.so.{release.split('.')[0]}"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", target, source], check=True)
    return Bindings(folder)
