"""CUDA sources to machine code: once per content and GPU, nothing half-written, nvcc's own words in the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsmde_core.cuda import compile as compiler
from fsmde_core.errors import FsmdeError
from support.repository import ROOT


@pytest.fixture
def nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes its arguments to the cubin and its source to a log."""
    path = tmp_path / "bin" / "nvcc"
    path.parent.mkdir()
    path.write_text(
        '#!/bin/sh\necho run >> "$(dirname "$0")/log"\nfor last; do :; done\n'
        'grep -q BROKEN "$last" && { echo "$last(3): error: BROKEN is undefined" >&2; exit 2; }\n'
        'while [ "$1" != -o ]; do all="$all $1"; shift; done\nprintf "%s" "$all" > "$2"\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def test_a_source_is_compiled_once_per_content_and_gpu(nvcc: Path, tmp_path: Path) -> None:
    source, cache = tmp_path / "some.cu", tmp_path / "cache"
    source.write_text("a kernel")
    first = compiler.load_or_compile(source, (9, 0), cache)
    assert first.split() == [*(option.encode() for option in compiler.OPTIONS), b"-arch=sm_90"]
    assert compiler.load_or_compile(source, (9, 0), cache) == first
    assert b"sm_87" in compiler.load_or_compile(source, (8, 7), cache)
    source.write_text("another kernel")
    compiler.load_or_compile(source, (9, 0), cache)
    assert (nvcc.parent / "log").read_text().count("run") == 3
    assert sorted(path.suffix for path in cache.iterdir()) == [".cubin"] * 3  # nothing else left


def test_what_nvcc_says_is_in_the_error_and_nothing_is_kept(nvcc: Path, tmp_path: Path) -> None:
    source, cache = tmp_path / "some.cu", tmp_path / "cache"
    source.write_text("BROKEN")
    with pytest.raises(FsmdeError, match=r"nvcc cannot compile some.cu for sm_90: .*error: BROKEN is undefined"):
        compiler.load_or_compile(source, (9, 0), cache)
    assert not list(cache.iterdir())


def test_without_nvcc_the_cache_still_serves(nvcc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = tmp_path / "some.cu", tmp_path / "cache"
    source.write_text("a kernel")
    kept = compiler.load_or_compile(source, (9, 0), cache)
    monkeypatch.setattr(compiler, "find_nvcc", lambda: None)
    assert compiler.load_or_compile(source, (9, 0), cache) == kept
    with pytest.raises(FsmdeError, match=r"nvcc is needed once to compile some.cu: install the CUDA toolkit"):
        compiler.load_or_compile(source, (8, 0), cache)


def test_a_cache_that_cannot_be_written_is_named(nvcc: Path, tmp_path: Path) -> None:
    source, blocked = tmp_path / "some.cu", tmp_path / "file"
    source.write_text("a kernel")
    blocked.write_text("in the way")
    with pytest.raises(FsmdeError, match=rf"compiled kernels cannot be kept in {blocked}/cache .*set XDG_CACHE_HOME"):
        compiler.load_or_compile(source, (9, 0), blocked / "cache")


def test_our_kernels_compile(tmp_path: Path) -> None:
    if compiler.find_nvcc() is None:
        pytest.skip("nvcc is not installed")
    for source in (ROOT / "fsmde_core/pipeline/gpu/cuda/kernels").glob("*.cu"):
        assert compiler.load_or_compile(source, (9, 0), tmp_path).startswith(b"\x7fELF")
