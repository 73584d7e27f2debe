"""The watch of leftovers: it names what the session's own processes leave, and nothing of anybody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from support import leftovers
from support.leftovers import MARK, SessionWatch, wait_until_empty, watched_session

SLEEP = "import time; time.sleep(100)"
# Makes a segment with its lock as Fast DDS does, maps it, and says so.
MAKE = """
import fcntl, mmap, sys, time
lock = open(sys.argv[1] + "_el", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
with open(sys.argv[1], "w+b") as file:
    file.truncate(4096)
    mapped = mmap.mmap(file.fileno(), 4096)
print("ready", flush=True)
time.sleep(100)
"""
MAP = """
import mmap, sys, time
with open(sys.argv[1], "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 4096)
print("ready", flush=True)
time.sleep(100)
"""


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /dev/shm."""
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def watch(memory: Path) -> Iterator[SessionWatch]:
    with watched_session() as watch:
        yield watch


class Process:
    """A Python process whose parent has ended, so that only its environment tells whose it is."""

    def __init__(self, code: str, *arguments: str | Path, own: bool) -> None:
        environment = {name: value for name, value in os.environ.items() if own or name != MARK}
        words = [sys.executable, "-c", code, *map(str, arguments)]
        start = f"import subprocess, sys; print(subprocess.Popen({words!r}, stdout=2).pid)"
        with subprocess.Popen(
            [sys.executable, "-c", start], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        ) as parent:
            assert parent.stdout is not None and parent.stderr is not None
            self.pid = int(parent.stdout.readline())
            if code != SLEEP:
                assert parent.stderr.readline() == "ready\n"

    def kill(self) -> None:
        os.kill(self.pid, 9)
        end = time.monotonic() + 10
        while _is_alive(self.pid):
            assert time.monotonic() < end
            time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; whoever adopted it may leave it a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_own_process_that_still_runs_is_named_by_its_command(watch: SessionWatch) -> None:
    process = Process(SLEEP, "some argument", own=True)
    (found,) = watch.leftovers()
    assert f"process {process.pid}: " in found and "some argument" in found
    process.kill()
    assert wait_until_empty(watch.leftovers) == []


def test_a_child_that_nobody_has_waited_for_is_named(watch: SessionWatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], env={})
    end = time.monotonic() + 10
    while _is_alive(child.pid):
        assert time.monotonic() < end
        time.sleep(0.01)
    (found,) = watch.leftovers()
    assert f"process {child.pid}: " in found and "nobody has waited for" in found
    child.wait()
    assert watch.leftovers() == []


def test_processes_of_others_do_not_count_whatever_they_are_called(watch: SessionWatch) -> None:
    other = Process(SLEEP, "-m fsmde_ros", own=False)
    try:
        assert watch.leftovers() == []
    finally:
        other.kill()


def test_a_child_from_before_the_session_does_not_count(memory: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", SLEEP], env={}) as child,
        watched_session() as watch,
    ):
        assert watch.leftovers() == []
        child.kill()


def test_a_helper_that_ends_with_the_tests_does_not_count(watch: SessionWatch) -> None:
    """Its command holds the interpreter's path, and so the checkout's, whose name may be the project's."""
    resource_tracker.ensure_running()
    assert watch.leftovers() == []


@pytest.mark.parametrize("prefix", ["fastdds_", "fastrtps_"])
@pytest.mark.parametrize("own", [True, False])
def test_a_segment_whose_maker_died_counts_for_its_maker_only(
    watch: SessionWatch, memory: Path, prefix: str, own: bool
) -> None:
    segment = memory / f"{prefix}0123456789abcdef"
    maker = Process(MAKE, segment, own=own)
    watch.look()
    maker.kill()
    assert segment.exists()
    expected = [f"segment {segment.name}"] if own else []
    assert wait_until_empty(watch.leftovers, timeout_s=0) == expected
    for file in (segment, Path(f"{segment}_el")):
        file.unlink()
    assert watch.leftovers() == []


def test_the_files_beside_a_segment_count_as_long_as_one_is_left(watch: SessionWatch, memory: Path) -> None:
    segment = memory / "fastdds_port7413"
    maker = Process(MAKE, segment, own=True)
    watch.look()
    maker.kill()
    for name in ("fastdds_port7413", "fastdds_port7413_el"):
        (memory / name).unlink()
    (memory / "sem.fastdds_port7413_mutex").touch()
    assert watch.leftovers() == ["segment fastdds_port7413"]


def test_a_segment_that_a_neighbour_still_uses_does_not_count(watch: SessionWatch, memory: Path) -> None:
    segment = memory / "fastdds_port7000"
    maker = Process(MAKE, segment, own=True)
    watch.look()
    neighbour = Process(MAP, segment, own=False)
    maker.kill()
    assert watch.leftovers() == []
    neighbour.kill()
    assert watch.leftovers() == ["segment fastdds_port7000"]


def test_segments_from_before_the_session_do_not_count(memory: Path) -> None:
    (memory / "fastrtps_00ff").touch()
    (memory / "torch_shared").touch()
    with watched_session() as watch:
        assert watch.leftovers() == []


def test_the_mark_is_that_of_the_outer_session_again(watch: SessionWatch) -> None:
    with watched_session() as inner:
        assert os.environ[MARK] == inner.mark != watch.mark
    assert os.environ[MARK] == watch.mark
