"""Engines on disk: only the very one that was asked for is served, whoever wrote, killed or damaged what lies there."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmde_core.engines.tensorrt.cache import EngineCache, EngineKey, UnfitEngineError, default_folder, read_engine
from fsmde_core.errors import FsmdeError

KEY = EngineKey("ab" * 32, "NVIDIA H100", "9.0", 132, 80, "11.4.0.106", "fp16", 6, 256, 448)
PLAN = b"an engine " * 100
OTHER_VALUES = {
    "model_sha256": "cd" * 32,
    "gpu": "NVIDIA Orin",
    "compute_capability": "8.7",
    "multiprocessors": 16,
    "memory_gib": 62,
    "tensorrt": "10.3.0",
    "precision": "fp32",
    "cameras": 7,
    "height": 384,
    "width": 640,
    "revision": KEY.revision + 1,
}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def never() -> bytes:
    raise AssertionError("it was to be found")


def log_line(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that was logged since the last call."""
    (record,) = caplog.records
    caplog.clear()
    return record.message


def test_an_engine_is_built_once(cache: EngineCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert cache.load_or_build("student", KEY, lambda: PLAN) == PLAN
    assert log_line(caplog).endswith("is built: there is none yet")
    assert EngineCache(cache.folder).load_or_build("student", KEY, never) == PLAN
    assert not caplog.records
    path = cache.path("student", KEY)
    assert path.name.startswith("student-fp16-6x256x448-") and path.read_bytes() == PLAN
    assert json.loads(path.with_suffix(".json").read_text())["key"] == asdict(KEY)


def test_every_field_has_its_own_file_and_is_named_when_it_differs(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(OTHER_VALUES) == set(asdict(KEY))
    caplog.set_level(logging.INFO)
    cache.load_or_build("student", KEY, lambda: PLAN)
    caplog.clear()
    kept = cache.path("student", KEY)
    for field, value in OTHER_VALUES.items():
        other = replace(KEY, **{field: value})
        path = cache.path("student", other)
        assert path != kept
        difference = f"{field} is {getattr(KEY, field)}, expected {value}"
        assert cache.load_or_build("student", other, lambda: b"new") == b"new"
        assert log_line(caplog).endswith(f"of those there, {kept.name} comes nearest: {difference}")
        for suffix in (".engine", ".json"):  # a foreign engine under the expected name
            shutil.copy(kept.with_suffix(suffix), path.with_suffix(suffix))
        assert cache.load_or_build("student", other, lambda: b"newer") == b"newer"
        assert log_line(caplog).endswith(f"the file is another engine's: {difference}")
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(PLAN[:-1]), "the file is damaged: its sha256 is "),
        (lambda path: path.write_bytes(b"X" + PLAN[1:]), "the file is damaged: its sha256 is "),
        (lambda path: path.write_bytes(b""), "the file is damaged: its sha256 is "),
        (lambda path: path.with_suffix(".json").unlink(), "cannot be read (FileNotFoundError)"),
        (lambda path: path.with_suffix(".json").write_text('{"key": {'), "cannot be read (JSONDecodeError)"),
        (lambda path: path.with_suffix(".json").write_bytes(b"\xff"), "cannot be read (UnicodeDecodeError)"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "model_sha256 is None, expected abab"),
    ],
)
def test_a_damaged_engine_is_built_anew(
    damage: object, reason: str, cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cache.load_or_build("student", KEY, lambda: PLAN)
    caplog.clear()
    damage(cache.path("student", KEY))  # type: ignore[operator]
    assert cache.load_or_build("student", KEY, lambda: b"new") == b"new"
    assert reason in log_line(caplog)
    assert cache.load_or_build("student", KEY, never) == b"new"


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), sidecar=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_changed_byte_gets_past(place: int, value: int, sidecar: bool, cache: EngineCache) -> None:
    path = cache.path("student", KEY)
    cache.load_or_build("student", KEY, lambda: PLAN)
    file = path.with_suffix(".json") if sidecar else path
    data = bytearray(file.read_bytes())
    whole = bytes(data)
    data[place % len(data)] = value
    file.write_bytes(data)
    try:
        assert read_engine(path, KEY) == PLAN
    except UnfitEngineError:
        assert bytes(data) != whole
    finally:
        file.write_bytes(whole)


def test_a_failed_build_leaves_nothing(cache: EngineCache) -> None:
    def fail() -> bytes:
        raise FsmdeError("out of memory")

    with pytest.raises(FsmdeError, match="out of memory"):
        cache.load_or_build("student", KEY, fail)
    assert [path.suffix for path in cache.folder.iterdir()] == [".lock"]
    assert cache.load_or_build("student", KEY, lambda: PLAN) == PLAN


def test_a_full_disk_is_named_and_leaves_nothing(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FsmdeError, match=r"\.engine cannot be written \(No space left on device\); set FSMDE_ENGINES"):
        cache.load_or_build("student", KEY, lambda: PLAN)
    assert [path.suffix for path in cache.folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FsmdeError, match=r"cannot be written to \(.*\); set FSMDE_ENGINES to another"):
        EngineCache(tmp_path / "file" / "engines").load_or_build("student", KEY, lambda: PLAN)


def test_a_prepared_folder_is_only_read(cache: EngineCache) -> None:
    cache.load_or_build("student", KEY, lambda: PLAN)
    cache.path("student", KEY).with_suffix(".lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in [cache.folder, *cache.folder.iterdir()]}
    assert cache.load_or_build("student", KEY, never) == PLAN
    assert {path: path.stat().st_mtime_ns for path in [cache.folder, *cache.folder.iterdir()]} == before


FETCH = """
import logging, sys, time
from pathlib import Path
from fsmde_core.engines.tensorrt.cache import EngineCache, EngineKey

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
folder, pause = Path(sys.argv[1]), float(sys.argv[2])

def build():
    print("building", flush=True)
    time.sleep(pause)
    return b"built"

key = EngineKey("m", "g", "9.0", 1, 1, "11", "fp16", 6, 1, 1)
print(EngineCache(folder).load_or_build("student", key, build), flush=True)
"""


def start_fetch(folder: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(folder), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_processes_that_build_at_once_one_does(tmp_path: Path) -> None:
    processes = [start_fetch(tmp_path, 1.0) for _ in range(4)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert all(output.endswith("b'built'\n") for output in outputs)
    assert sum("building\n" in output for output in outputs) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".engine", ".json", ".lock"]


def test_a_killed_builder_blocks_nobody(tmp_path: Path) -> None:
    killed = start_fetch(tmp_path, 600)
    assert killed.stdout is not None
    while killed.stdout.readline() != "building\n":
        pass
    waiting = start_fetch(tmp_path, 0)
    assert waiting.stdout is not None
    assert "is being built by another process; waiting for it" in waiting.stdout.readline()
    killed.kill()
    killed.communicate()
    assert waiting.communicate(timeout=120)[0].endswith("building\nb'built'\n")


def test_where_engines_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FSMDE_ENGINES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "fsmde" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "fsmde" / "engines"
    monkeypatch.setenv("FSMDE_ENGINES", "/opt/engines")
    assert EngineCache().folder == Path("/opt/engines")


def test_an_engine_that_cannot_be_read_is_unfit(cache: EngineCache) -> None:
    cache.load_or_build("student", KEY, lambda: PLAN)
    path = cache.path("student", KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", _refuse(path, Path.read_bytes))
        with pytest.raises(UnfitEngineError, match="cannot be read"):
            read_engine(path, KEY)


def _refuse(path: Path, read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def read_bytes(asked: Path) -> bytes:
        if asked == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(asked)

    return read_bytes


def test_a_folder_without_locks_is_named(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(FsmdeError, match="cannot be locked"):
        cache.load_or_build("student", KEY, never)


def test_a_refused_engine_is_built_anew_once(cache: EngineCache) -> None:
    cache.load_or_build("student", KEY, lambda: PLAN)
    assert cache.load_or_build("student", KEY, lambda: b"new", refused=PLAN) == b"new"
    assert (
        cache.load_or_build("student", KEY, never, refused=PLAN) == b"new"
    )  # another process that was refused the same


def test_a_refused_engine_stays_until_there_is_another(cache: EngineCache) -> None:
    """It may be refused for want of memory: then a build fails too, and the engine serves again later."""

    def fail() -> bytes:
        raise FsmdeError("out of memory")

    cache.load_or_build("student", KEY, lambda: PLAN)
    with pytest.raises(FsmdeError, match="out of memory"):
        cache.load_or_build("student", KEY, fail, refused=PLAN)
    assert cache.load_or_build("student", KEY, never) == PLAN
