"""Finds what a test session leaves behind: processes that it started, and shared-memory segments of Fast DDS.

Other programs may run beside the tests, ROS nodes of any distribution among them; theirs never count, whatever their
names. A process is the session's own when it has inherited the session's mark in its environment, or is its child. A
segment is the session's own when such a process made it: Fast DDS locks a file beside each as long as its maker lives.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

MARK = "FSMDE_TEST_SESSION"
SHARED_MEMORY = Path("/dev/shm")
PERIOD_S = 0.1  # no process of a test is gone sooner
# Fast DDS 3 and 2; the lock of a segment is its name with _el.
SEGMENT = re.compile(r"(?:sem\.)?(fast(?:dds|rtps)_.+?)(?:_el|_sl|_mutex)?")
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python ends with the process that started them."""


class SessionWatch:
    """Watches which segments come into being, and by whom, while `watched_session` lasts."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self._children_before = _children()
        self._foreign = _segments()
        self._own: set[str] = set()

    def look(self) -> None:
        """Judge the segments that have come since the last look, as far as their makers hold their locks already."""
        new = _segments() - self._foreign - self._own
        if not new:
            return
        holders = _lock_holders()
        for name in new:
            with suppress(OSError):
                holder = holders.get(_lock_id(SHARED_MEMORY / f"{name}_el"))
                if holder is not None:
                    (self._own if self._is_own(holder) else self._foreign).add(name)

    def leftovers(self) -> list[str]:
        """Name every process and every segment that is still there, in words."""
        processes = [pid for pid in _processes() if pid != os.getpid() and self._is_own(pid)]
        named = {pid: _command(pid) for pid in processes}
        found = [f"process {pid}: {command}" for pid, command in named.items() if command]
        segments = self._own & _segments()
        return found + [f"segment {name}" for name in sorted(segments - _mapped_elsewhere(segments))]

    def _is_own(self, pid: int) -> bool:
        if pid == os.getpid() or pid in _children() - self._children_before:
            return True
        with suppress(OSError):
            return f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False


@contextmanager
def watched_session() -> Iterator[SessionWatch]:
    """Mark this process's environment, and watch from a thread until the context ends."""
    watch, ended = SessionWatch(), Event()
    before = os.environ.get(MARK)
    os.environ[MARK] = watch.mark

    def run() -> None:
        while not ended.wait(PERIOD_S):
            watch.look()

    thread = Thread(target=run, name="watch of leftovers", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
        os.environ.pop(MARK)
        if before is not None:
            os.environ[MARK] = before


def wait_until_empty(find: Callable[[], list[str]], timeout_s: float = 10.0) -> list[str]:
    """Ask until nothing is found, since what is about to end is no leftover; return what is found in the end."""
    end = time.monotonic() + timeout_s
    while (found := find()) and time.monotonic() < end:
        time.sleep(PERIOD_S)
    return found


def _segments() -> set[str]:
    matches = [SEGMENT.fullmatch(path.name) for path in SHARED_MEMORY.iterdir()]
    return {match[1] for match in matches if match}


def _lock_holders() -> dict[str, int]:
    """Process that holds the lock, by file as in `_lock_id`."""
    fields = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {one[5]: int(one[4]) for one in fields if one[1] == "FLOCK"}


def _lock_id(path: Path) -> str:
    """The file as /proc/locks names it."""
    status = path.stat()
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _mapped_elsewhere(segments: set[str]) -> set[str]:
    """Those of the segments that another process still uses."""
    used: set[str] = set()
    for pid in _processes() if segments else []:
        if pid != os.getpid():
            with suppress(OSError):
                maps = Path(f"/proc/{pid}/maps").read_text()
                used |= {name for name in segments if f"{SHARED_MEMORY / name}\n" in maps}
    return used


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _children() -> set[int]:
    found: set[int] = set()
    for one in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # of a thread that has just ended
            found |= {int(pid) for pid in one.read_text().split()}
    return found


def _command(pid: int) -> str:
    """The command line; empty for a process that is gone meanwhile or ends with this one."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        if not command:
            return f"{Path(f'/proc/{pid}/comm').read_text().strip()}, which nobody has waited for"
        return "" if any(helper in command for helper in HELPERS) else command
    return ""
