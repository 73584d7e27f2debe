"""Compiles our CUDA sources for one kind of GPU, once: the result is kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fsmde_core.errors import FsmdeError
from fsmde_core.paths import user_cache

# Without fused multiply-add the points are those of the CPU; the kernels wait for memory, not for arithmetic.
OPTIONS = ("-cubin", "-O3", "-fmad=false")


def load_or_compile(source: Path, capability: tuple[int, int], cache: Path | None = None) -> bytes:
    """Return a .cu file as machine code, compiled by nvcc unless the cache folder has it.

    Args:
        source: The .cu file.
        capability: (major, minor) compute capability of the GPU.
        cache: Folder, default $XDG_CACHE_HOME/fsmde/kernels.

    Returns:
        The cubin.

    Raises:
        FsmdeError: nvcc is needed and is absent or fails, or the folder cannot be written to.
    """
    folder = cache or user_cache() / "kernels"
    arch = f"sm_{capability[0]}{capability[1]}"
    digest = hashlib.sha256(source.read_bytes() + " ".join(OPTIONS).encode()).hexdigest()
    cubin = folder / f"{source.stem}_{arch}_{digest[:16]}.cubin"
    try:
        if not cubin.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            # Renamed when complete, so that no process reads half a file and the last of several wins.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _compile(source, arch, Path(scratch) / cubin.name).replace(cubin)
        return cubin.read_bytes()
    except OSError as error:
        raise FsmdeError(f"compiled kernels cannot be kept in {folder} ({error}); set XDG_CACHE_HOME") from error


def find_nvcc() -> str | None:
    """Find the CUDA compiler on the PATH, in $CUDA_HOME, or where CUDA's installers put it."""
    folders = [os.environ.get("PATH", ""), f"{os.environ.get('CUDA_HOME', '')}/bin", "/usr/local/cuda/bin"]
    return shutil.which("nvcc", path=os.pathsep.join(folders))


def _compile(source: Path, arch: str, target: Path) -> Path:
    nvcc = find_nvcc()
    if nvcc is None:
        raise FsmdeError(
            f"the CUDA compiler nvcc is needed once to compile {source.name}: install the CUDA toolkit or set CUDA_HOME"
        )
    command = [nvcc, *OPTIONS, f"-arch={arch}", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise FsmdeError(f"nvcc cannot compile {source.name} for {arch}: {lines[0]}")
    return target
