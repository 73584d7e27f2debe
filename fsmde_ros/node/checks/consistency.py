"""Reports the status `consistency`: do neighbouring views agree, and which camera is turned if they do not?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from fsmde_core.mounts import MountCheck, MountReport, misalignment_sentence
from fsmde_core.mounts.check import MIN_CHECKS
from fsmde_core.rig.rig import Rig
from fsmde_ros.node.checks.checks import CheckedSet
from fsmde_ros.node.diagnostics import OK, WARN, status


class ConsistencyCheck:
    """Compares neighbouring views; calls `warn` with a sentence whenever other cameras are found turned than before."""

    name = "consistency"

    def __init__(self, rig: Rig, warn: Callable[[str], object]) -> None:
        self._check = MountCheck(rig)
        self._warn = warn
        self._latest: tuple[float, MountReport] | None = None
        self._named: tuple[str, ...] = ()

    def update(self, sample: CheckedSet) -> None:
        report = self._check.update(sample.cameras, sample.rgb, sample.depth, sample.stamps_ns)
        self._latest = time.monotonic(), report
        named = tuple(turned.camera for turned in report.misaligned)
        if named and named != self._named:
            self._warn(misalignment_sentence(report.misaligned))
        self._named = named

    def status(self, name: str) -> DiagnosticStatus:
        if self._latest is None:
            return status(name, OK, "nothing checked yet", {})
        moment, report = self._latest
        values: dict[str, Any] = {"age_s": f"{time.monotonic() - moment:.1f}", "checks": report.checks}
        for edge, found in report.edges.items():
            values[f"overlap {edge}"] = f"{found.overlap:.3f}"
            values[f"epipolar_deg {edge}"] = f"{found.epipolar_deg:.3f}"
            values[f"matches {edge}"] = found.matches
        for turned in report.misaligned:
            values[f"turned_deg {turned.camera}"] = f"{turned.degrees:.2f}"
        if report.unjudged:
            values["unseen"] = ",".join(report.unjudged)
        if report.misaligned:
            return status(name, WARN, misalignment_sentence(report.misaligned), values)
        if report.checks < MIN_CHECKS:
            return status(name, OK, f"{report.checks} of the {MIN_CHECKS} checks that a verdict needs", values)
        doubt = (
            f"; {', '.join(report.unjudged)} cannot be judged, the views overlap too little" if report.unjudged else ""
        )
        return status(name, OK, f"no camera is found turned against the rig{doubt}", values)

    def close(self) -> None:
        pass
