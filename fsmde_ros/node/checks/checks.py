"""Runs checks of the depth beside the node: a thread of their own looks at the newest result now and then.

They never hold up publication: the worker offers every result, of which a copy is kept when a check is due.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.pipeline import DepthSet
from fsmde_core.rig.rig import Camera
from fsmde_ros.node.diagnostics import WARN, status
from fsmde_ros.node.latest_slot import LatestSlot

PERIOD_S = 1.0
"""The least time between the starts of two rounds of checks."""
CPU_SHARE = 0.1
"""Of one core: a round that took more than this share of PERIOD_S is followed by a longer pause."""


@dataclass(frozen=True, eq=False)
class CheckedSet:
    """Holds a copy of one result: N rectified cameras, and the time of exposure of each, by name.

    rgb: (N, H, W, 3) uint8. depth: (N, H, W) float32 metres.
    """

    cameras: tuple[Camera, ...]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    stamps_ns: Mapping[str, int]


class Check(Protocol):
    """Checks one property of the depth; `name` is that of its status."""

    name: str

    def update(self, sample: CheckedSet) -> None:
        """Examine a sample; runs on the thread of the checks and may raise."""
        ...

    def status(self, name: str) -> DiagnosticStatus:
        """Report what was found so far as status `name`; runs on the executor's thread."""
        ...

    def close(self) -> None:
        """Release what the check holds, and end an `update` that waits."""
        ...


class Checks:
    """Runs `checks` on the newest result, one round per PERIOD_S at most and on CPU_SHARE of a core at most."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self._faults: dict[str, str] = {}
        self._due = 0.0
        self._latest: LatestSlot[CheckedSet] = LatestSlot()
        self._thread = threading.Thread(target=self._run, name="checks")
        self._thread.start()

    def offer(self, result: DepthSet, stamps_ns: Mapping[str, int]) -> None:
        if not self._checks or time.monotonic() < self._due:
            return
        self._due = math.inf  # until this round is over
        self._latest.put(CheckedSet(result.cameras, result.rgb.copy(), result.depth.copy(), dict(stamps_ns)))

    def statuses(self, node_name: str) -> list[DiagnosticStatus]:
        """Report one status per check; `node_name` is that of `diagnostics.qualified_name`."""
        return [self._status(check, f"{node_name}: {check.name}") for check in self._checks]

    def close(self) -> None:
        """Stop the checks and their thread."""
        self._latest.close()
        for check in self._checks:
            check.close()
        self._thread.join()

    def _status(self, check: Check, name: str) -> DiagnosticStatus:
        fault = self._faults.get(check.name)
        return check.status(name) if fault is None else status(name, WARN, f"the check failed: {fault}", {})

    def _run(self) -> None:
        while (sample := self._latest.get()) is not None:
            start, cpu_start = time.monotonic(), time.thread_time()
            for check in self._checks:
                try:
                    check.update(sample)
                except FsmdeError as error:
                    self._faults[check.name] = str(error)
                except Exception as error:  # a check that fails costs its own status, never the node
                    self._faults[check.name] = f"{type(error).__name__}: {error}"
                else:
                    self._faults.pop(check.name, None)
            self._due = start + max(PERIOD_S, (time.thread_time() - cpu_start) / CPU_SHARE)
