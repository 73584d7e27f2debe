"""Reports the node's health as diagnostic messages: one status for the node, one for its output, one per camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from fsmde_core.engines import Engine
from fsmde_core.engines.timing import percentiles
from fsmde_core.images.rectify import lens_warning
from fsmde_ros.middleware.conversions import header
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.health import STAGES, Health, SetTiming
from fsmde_ros.node.inputs import SurroundSubscriber

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def timing_message(timing: SetTiming) -> DiagnosticArray:
    """Make the message on `~/timing`: stamp_ns, one `<stage>_ms` per stage, end_to_end_ms, skew_ms, cameras."""
    values: dict[str, Any] = {"stamp_ns": timing.stamp_ns}
    values |= {f"{stage}_ms": f"{timing.stage_ms[stage]:.3f}" for stage in STAGES}
    values |= {"end_to_end_ms": f"{timing.end_to_end_ms:.3f}", "skew_ms": f"{timing.skew_ms:.3f}"}
    values["cameras"] = ",".join(timing.cameras)
    message = DiagnosticArray(header=header(timing.stamp_ns, ""))
    message.status = [status("timing", OK, "", values)]
    return message


def status(name: str, level: bytes, text: str, values: dict[str, Any], hardware_id: str = "") -> DiagnosticStatus:
    entries = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=text, hardware_id=hardware_id, values=entries)


def qualified_name(node: Node) -> str:
    """Return the node's name in its statuses: with the namespace, so that two nodes differ, less the leading slash."""
    return node.get_fully_qualified_name().lstrip("/")


def node_status(name: str, state: str, failure: str, engine: Engine | None) -> DiagnosticStatus:
    values: dict[str, Any] = {"state": state}
    if engine is not None:
        model = engine.info
        values |= {"engine": engine.name, "device": engine.device, "precision": engine.precision}
        values |= {"model": model.path, "model_sha256": model.sha256, "model_input": f"{model.width}x{model.height}"}
    level, text = (ERROR, failure) if failure else (OK, state)
    return status(f"{name}: node", level, text, values, engine.device if engine is not None else "")


def rig_status(name: str, doubts: Sequence[str]) -> DiagnosticStatus:
    """Report what is hardly possible of the rig in force.

    Args:
        name: The node's, of `qualified_name`.
        doubts: Sentences of `Calibration.doubts`.

    Returns:
        A warning with all of them, or OK.
    """
    return status(f"{name}: rig", WARN if doubts else OK, "; ".join(doubts) or "plausible", {"doubts": len(doubts)})


@dataclass(eq=False)
class Reporter:
    """Reports on an active node. Remembers the last report's counts, since only new faults are worth a warning.

    name: the node's, of `qualified_name`.
    mismatches: gives the topics of outputs with a listener whose QoS does not fit, and the reason.
    """

    name: str
    health: Health
    inputs: SurroundSubscriber
    calibration: Calibration
    mismatches: Callable[[], Mapping[str, str]]
    _reported: dict[str, int] = field(default_factory=dict)

    def statuses(self, stale_after_s: float) -> list[DiagnosticStatus]:
        """Report one status for the output and one per camera; silence warns after `stale_after_s` seconds."""
        cameras = [self._camera(camera, stale_after_s) for camera in self.health.cameras]
        return [self._output(stale_after_s), *cameras]

    def _output(self, stale_after_s: float) -> DiagnosticStatus:
        health, sync, timings = self.health, self.inputs.stats, self.health.timings()
        values: dict[str, Any] = {"rate_hz": f"{health.output_rate():.2f}", "processed": health.processed}
        values |= {"sets_complete": sync.complete, "sets_partial": sync.partial, "sets_abandoned": sync.abandoned}
        values |= {"sets_unheard": health.unheard_sets, "time_jumps": sync.resets}
        values |= {f"lost_{kind}": count for kind, count in sorted(health.lost_sets.items())}
        if timings:
            for stage in STAGES:
                values[f"{stage}_ms"] = _percentiles([timing.stage_ms[stage] for timing in timings])
            values["end_to_end_ms"] = _percentiles([timing.end_to_end_ms for timing in timings])
            values["skew_ms"] = _percentiles([timing.skew_ms for timing in timings])
        level, text = self._judge_output(stale_after_s)
        return status(f"{self.name}: output", level, text, values)

    def _judge_output(self, stale_after_s: float) -> tuple[bytes, str]:
        lost = self.health.lost_sets
        failed = self._increase("failed", lost["error"] + lost["internal"] + lost["too_few"])
        overloaded = self._increase("overload", lost["overload"])
        if failed:
            return ERROR, f"{failed} sets failed: {self.health.last_fault}"
        if overloaded:
            return WARN, f"overload: {overloaded} sets replaced by newer ones before inference"
        for topic, reason in self.mismatches().items():
            return WARN, f"a listener of {topic} gets nothing: {reason}; set qos_overrides.{topic}.publisher"
        if self._increase("unheard", self.health.unheard_sets):
            return OK, "nobody listens to any output, so inference rests"
        partial = self._increase("partial", self.inputs.stats.partial)
        complete = self._increase("complete", self.inputs.stats.complete)
        if partial > complete and all(self.health.silence_s(name) <= stale_after_s for name in self.health.cameras):
            torn = f"{partial} of {partial + complete} sets lack a camera, though all cameras send"
            return WARN, f"{torn}; do the stamps of one moment differ by more than sync.window_ms?"
        silence = self.health.output_silence_s()
        if silence > stale_after_s:
            return WARN, f"no set of images for {silence:.1f} s; the cameras' statuses and sync.* say why"
        return OK, f"{self.health.output_rate():.1f} sets per second"

    def _camera(self, name: str, stale_after_s: float) -> DiagnosticStatus:
        camera, counts = self.health.cameras[name], self.inputs.stats.cameras[name]
        values: dict[str, Any] = {
            "topic": self.inputs.topics[name],
            "intrinsics": self.calibration.intrinsics_source(name),
        }
        values |= {"rate_hz": f"{self.health.input_rate(name):.2f}", "received": camera.received}
        values |= {"late": counts.late, "duplicate": counts.duplicate, "off_clock": counts.off_clock}
        values |= {"offset_ms": f"{counts.offset_ms:.1f}"} if counts.off_clock else {}
        values |= {"surplus": counts.surplus, "dropped": counts.dropped}
        values["missing"] = self.inputs.stats.missing(name)
        values |= {f"bad_{kind}": count for kind, count in sorted(camera.dropped.items())}
        lags = [timing.lag_ms[name] for timing in self.health.timings() if name in timing.lag_ms]
        if lags:
            values["lag_ms"] = _percentiles(lags)
        if camera.last_fault:
            values["last_fault"] = camera.last_fault
        level, text = self._judge_camera(name, stale_after_s)
        return status(f"{self.name}: camera {name}", level, text, values)

    def _judge_camera(self, name: str, stale_after_s: float) -> tuple[bytes, str]:
        camera, counts = self.health.cameras[name], self.inputs.stats.cameras[name]
        silence, topic = self.health.silence_s(name), self.inputs.topics[name]
        bad = self._increase(f"bad {name}", sum(camera.dropped.values()))
        unused = [(self._increase(f"{one.reason} {name}", one.number), one.sentence) for one in counts.unused()]
        number, why = max(unused, default=(0, ""))
        if silence > stale_after_s:
            since = "yet" if silence == float("inf") else f"for {silence:.1f} s"
            return ERROR, f"no image on {topic} {since}: {self.inputs.silence_reason(name)}"
        if bad:
            return ERROR, f"{bad} bad messages: {camera.last_fault}"
        if refused := self.calibration.refused.get(name):
            return ERROR, refused
        if number:
            return WARN, f"{number} images fitted into no set: {why}"
        # Last, since it stays for good.
        if fault := self.calibration.unused_mask(name) or lens_warning(self.calibration.rig[name]):
            return WARN, fault
        return OK, f"{self.health.input_rate(name):.1f} images per second"

    def _increase(self, key: str, count: int) -> int:
        """Return by how much a count rose since the last report."""
        before = self._reported.get(key, 0)
        self._reported[key] = count
        return count - before


def _percentiles(values: list[float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in percentiles(values).items())
