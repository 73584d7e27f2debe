"""The node's health as diagnostic messages: one status for the node, one for its output, one per camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from fsmde_core.engines import Engine
from fsmde_ros.middleware.conversions import header
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.health import STAGES, Health, SetTiming, percentiles
from fsmde_ros.node.inputs import SurroundSubscriber

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def timing_message(timing: SetTiming) -> DiagnosticArray:
    """One processed set for `~/timing`: stamp_ns, one `<stage>_ms` per stage, end_to_end_ms, skew_ms, cameras."""
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


def array(stamp: Time, statuses: Iterable[DiagnosticStatus]) -> DiagnosticArray:
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message


def qualified_name(node: Node) -> str:
    """The node's name in its statuses: with the namespace, so that two nodes differ, without the leading slash."""
    return node.get_fully_qualified_name().lstrip("/")


def node_status(name: str, state: str, reason: str, engine: Engine | None) -> DiagnosticStatus:
    """The lifecycle state; `reason` says why the last transition failed, empty when it did not."""
    values: dict[str, Any] = {"state": state}
    if engine is not None:
        model = engine.info
        values |= {"engine": engine.name, "device": engine.device, "precision": engine.precision}
        values |= {"model": model.path, "model_sha256": model.sha256, "model_input": f"{model.width}x{model.height}"}
    level, text = (ERROR, reason) if reason else (OK, state)
    return status(f"{name}: node", level, text, values, engine.device if engine is not None else "")


class Reporter:
    """Statuses of an active node. Remembers the last report's counts, since only new faults are worth a warning.

    name: the node's, see `qualified_name`.
    deaf: gives the topics of outputs that some listener cannot hear, with the reason.
    """

    def __init__(
        self,
        name: str,
        health: Health,
        inputs: SurroundSubscriber,
        calibration: Calibration,
        deaf: Callable[[], Mapping[str, str]],
    ) -> None:
        self._name = name
        self._health = health
        self._inputs = inputs
        self._calibration = calibration
        self._deaf = deaf
        self._before: dict[str, int] = {}

    def statuses(self, stale_after_s: float) -> list[DiagnosticStatus]:
        """One for the output, one per camera."""
        cameras = [self._camera(camera, stale_after_s) for camera in self._health.cameras]
        return [self._output(stale_after_s), *cameras]

    def _output(self, stale_after_s: float) -> DiagnosticStatus:
        health, sync, timings = self._health, self._inputs.stats, self._health.timings()
        values: dict[str, Any] = {"rate_hz": f"{health.output_rate():.2f}", "processed": health.processed}
        values |= {"sets_complete": sync.complete, "sets_partial": sync.partial, "sets_abandoned": sync.abandoned}
        values |= {"sets_unheard": health.unheard, "time_jumps": sync.resets}
        values |= {f"lost_{kind}": count for kind, count in sorted(health.lost_sets.items())}
        if timings:
            for stage in STAGES:
                values[f"{stage}_ms"] = _quantiles([timing.stage_ms[stage] for timing in timings])
            values["end_to_end_ms"] = _quantiles([timing.end_to_end_ms for timing in timings])
            values["skew_ms"] = _quantiles([timing.skew_ms for timing in timings])
        level, text = self._judge_output(stale_after_s)
        return status(f"{self._name}: output", level, text, values)

    def _judge_output(self, stale_after_s: float) -> tuple[bytes, str]:
        lost = self._health.lost_sets
        failed = self._new("failed", lost["error"] + lost["internal"] + lost["too_few"])
        overloaded = self._new("overload", lost["overload"])
        if failed:
            return ERROR, f"{failed} sets failed: {self._health.last_fault}"
        if overloaded:
            return WARN, f"overload: {overloaded} sets replaced by newer ones before inference"
        for topic, reason in self._deaf().items():
            return WARN, f"a listener of {topic} gets nothing: {reason}; set qos_overrides.{topic}.publisher"
        if self._new("unheard", self._health.unheard):
            return OK, "nobody listens to any output, inference rests"
        partial = self._new("partial", self._inputs.stats.partial)
        complete = self._new("complete", self._inputs.stats.complete)
        if partial > complete and all(self._health.silence_s(name) <= stale_after_s for name in self._health.cameras):
            torn = f"{partial} of {partial + complete} sets lack a camera, though all send"
            return WARN, f"{torn}; do the stamps of one moment differ by more than sync.window_ms?"
        silence = self._health.output_silence_s()
        if silence > stale_after_s:
            return WARN, f"no set of images for {silence:.1f} s; the cameras' statuses and sync.* say why"
        return OK, f"{self._health.output_rate():.1f} sets per second"

    def _camera(self, name: str, stale_after_s: float) -> DiagnosticStatus:
        camera, counts = self._health.cameras[name], self._inputs.stats.cameras[name]
        values: dict[str, Any] = {"topic": self._inputs.topics[name], "intrinsics": self._calibration.source(name)}
        values |= {"rate_hz": f"{self._health.input_rate(name):.2f}", "received": camera.received}
        values |= {"late": counts.late, "duplicate": counts.duplicate, "off_clock": counts.off_clock}
        values |= {"dropped": counts.dropped, "missing": counts.missing}
        values |= {f"bad_{kind}": count for kind, count in sorted(camera.dropped.items())}
        lags = [timing.lag_ms[name] for timing in self._health.timings() if name in timing.lag_ms]
        if lags:
            values["lag_ms"] = _quantiles(lags)
        if camera.last_fault:
            values["last_fault"] = camera.last_fault
        level, text = self._judge_camera(name, stale_after_s)
        return status(f"{self._name}: camera {name}", level, text, values)

    def _judge_camera(self, name: str, stale_after_s: float) -> tuple[bytes, str]:
        camera, counts = self._health.cameras[name], self._inputs.stats.cameras[name]
        silence, topic = self._health.silence_s(name), self._inputs.topics[name]
        bad = self._new(f"bad {name}", sum(camera.dropped.values()))
        unused = self._new(f"unused {name}", counts.late + counts.duplicate + counts.off_clock + counts.dropped)
        if silence > stale_after_s:
            since = "yet" if silence == float("inf") else f"for {silence:.1f} s"
            return ERROR, f"no image on {topic} {since}: {self._inputs.why_silent(name)}"
        if bad:
            return ERROR, f"{bad} bad messages: {camera.last_fault}"
        if unused:
            return WARN, f"{unused} images fitted into no set (late, duplicate, off the clock or incomplete)"
        return OK, f"{self._health.input_rate(name):.1f} images per second"

    def _new(self, key: str, count: int) -> int:
        """How many since the last report."""
        before = self._before.get(key, 0)
        self._before[key] = count
        return count - before


def _quantiles(values: list[float]) -> str:
    return "p50 {:.2f}, p95 {:.2f}, p99 {:.2f}".format(*percentiles(values))
