"""Runs the managed node `surround_depth`, which turns camera images into metric depth images and point clouds."""

from __future__ import annotations

import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline.gpu_pipeline import open_pipeline
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_ros.middleware.compat import survive_refused_transitions
from fsmde_ros.middleware.dds import use_shared_memory_profile
from fsmde_ros.middleware.process import forward_logs, keep_freed_memory
from fsmde_ros.node import diagnostics, parameters
from fsmde_ros.node.calibration import Calibration
from fsmde_ros.node.checks.checks import Check, Checks
from fsmde_ros.node.checks.consistency import ConsistencyCheck
from fsmde_ros.node.checks.lidar import LidarCheck
from fsmde_ros.node.health import Health
from fsmde_ros.node.inputs import SurroundSubscriber
from fsmde_ros.node.outputs import Outputs
from fsmde_ros.node.rectification_queue import RectificationQueue
from fsmde_ros.node.settings import DynamicSettings, NodeSetup
from fsmde_ros.node.tf_mounts import TransformMounts
from fsmde_ros.node.worker import Worker

PERIOD_S = 1.0  # of diagnostics
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SOURCE_LINE = re.compile(r", at \S+:\d+")  # where in its own sources rcl found an error


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What the node holds from configure to cleanup; `resources` releases it in reverse order."""

    setup: NodeSetup
    calibration: Calibration
    mounts: TransformMounts | None
    pipeline: DepthPipeline[Any]
    outputs: Outputs
    resources: ExitStack


@dataclass(frozen=True, eq=False)
class _Running:
    """What the node holds while it is active."""

    reporter: diagnostics.Reporter
    checks: Checks
    resources: ExitStack


class SurroundDepthNode(LifecycleNode):
    """Loads rig and engine to configure, receives and publishes while active, releases everything to clean up.

    A transition that fails leaves the node unconfigured, with the reason in the log and on /diagnostics.
    Callbacks run on the executor's one thread, rectification on those of the pipeline, the rest on that of `Worker`.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("surround_depth", **node_options)
        survive_refused_transitions(self)
        self._failure = ""
        self._doubts = 0
        self.loaded: _Loaded | None = None
        self._running: _Running | None = None
        parameters.declare(self)
        self._settings = DynamicSettings.read(parameters.values(self))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = self.create_timer(PERIOD_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("configure", self._configure, state, super().on_configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("activate", self._activate, state, super().on_activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("deactivate", self._stop, state, super().on_deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("clean up", self._release, state, super().on_cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("shut down", self._release, state, super().on_shutdown)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS  # to the state unconfigured, from which a new attempt can be made

    def destroy_node(self) -> None:
        self._release()
        super().destroy_node()

    def _attempt(
        self,
        what: str,
        action: Callable[[], None],
        state: LifecycleState,
        super_transition: Callable[[LifecycleState], TransitionCallbackReturn],
    ) -> TransitionCallbackReturn:
        try:
            action()
        except FsmdeError as error:
            self._failure = f"cannot {what}: {error}"
        except Exception as error:
            self._failure = f"cannot {what}: {type(error).__name__}: {error}"
            self.get_logger().error(traceback.format_exc())
        else:
            self._failure = ""
            return super_transition(state)
        self.get_logger().error(self._failure)
        return TransitionCallbackReturn.ERROR

    def _configure(self) -> None:
        setup = NodeSetup.read(parameters.values(self))
        with ExitStack() as stack:
            calibration = Calibration(setup.rig)
            mounts = TransformMounts(self, calibration) if setup.use_tf else None
            if mounts is not None:
                stack.callback(mounts.close)
            cameras = len(setup.rig.cameras)
            engine = load_engine(setup.engine, setup.model, setup.threads, cameras, setup.providers)
            pipeline = open_pipeline(engine, cameras, setup.threads)
            stack.callback(pipeline.close)
            pipeline.warm_up(cameras)
            outputs = Outputs(self, setup.rig)
            stack.callback(outputs.close)
            self.loaded = _Loaded(setup, calibration, mounts, pipeline, outputs, stack.pop_all())
        self.get_logger().info(
            f"{setup.model.name} on {engine.name} ({engine.device}, {engine.precision}), "
            f"{engine.info.width}x{engine.info.height}, cameras {', '.join(setup.rig.names)}"
        )
        self._doubts = 0
        self._judge_rig(self.loaded)

    def _activate(self) -> None:
        assert self.loaded is not None, "the state machine activates only configured nodes"
        loaded, setup = self.loaded, self.loaded.setup
        mounts = loaded.mounts
        health = Health(setup.rig.names, self.get_logger().warning)
        with ExitStack() as stack:
            rectifier = RectificationQueue(
                loaded.pipeline, loaded.calibration, missing=lambda: mounts.missing if mounts is not None else {}
            )
            checks = Checks(self._checks(setup))
            stack.callback(checks.close)
            worker = Worker(
                loaded.pipeline,
                loaded.calibration,
                rectifier,
                loaded.outputs,
                health,
                settings=lambda: self._settings,
                min_cameras=setup.sync.min_cameras,
                checks=checks,
            )
            stack.callback(worker.close)
            inputs = SurroundSubscriber(self, setup, loaded.calibration, health, rectifier)
            stack.callback(inputs.close)
            inputs.registerCallback(worker.offer)
            reporter = diagnostics.Reporter(
                diagnostics.qualified_name(self), health, inputs, loaded.calibration, loaded.outputs.mismatches
            )
            self._running = _Running(reporter, checks, stack.pop_all())

    def _checks(self, setup: NodeSetup) -> list[Check]:
        checks: list[Check] = []
        if setup.check_consistency:
            checks.append(ConsistencyCheck(setup.rig, self.get_logger().warning))
        if setup.check_lidar_topic:
            checks.append(LidarCheck(self, setup.check_lidar_topic, setup.rig.base_frame))
        return checks

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.resources.close()

    def _release(self) -> None:
        self._stop()
        loaded, self.loaded = self.loaded, None
        if loaded is not None:
            loaded.resources.close()

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in changed}
        try:
            parameters.check_change(changes, configured=self.loaded is not None)
            self._settings = DynamicSettings.read({**parameters.values(self), **changes})
        except FsmdeError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _judge_rig(self, loaded: _Loaded) -> DiagnosticStatus:
        """Report on the rig in force, and log what is doubtful when there is more of it than before."""
        doubts = loaded.calibration.doubts(loaded.mounts.missing if loaded.mounts is not None else ())
        if len(doubts) > self._doubts:
            self.get_logger().warning(f"the rig is hardly possible: {'; '.join(doubts)}")
        self._doubts = len(doubts)
        return diagnostics.rig_status(diagnostics.qualified_name(self), doubts)

    def _on_timer(self) -> None:
        loaded, running = self.loaded, self._running
        if loaded is not None and loaded.mounts is not None:
            loaded.mounts.refresh()
        engine = loaded.pipeline.engine if loaded is not None else None
        state = self._state_machine.current_state[1]  # rclpy has no public way to it
        statuses = [diagnostics.node_status(diagnostics.qualified_name(self), state, self._failure, engine)]
        if loaded is not None:
            statuses.append(self._judge_rig(loaded))
        if running is not None:
            statuses += running.reporter.statuses(self._settings.stale_after_s)
            statuses += running.checks.statuses(diagnostics.qualified_name(self))
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C or SIGTERM; return 0 then, 2 when its arguments or parameters cannot be read."""
    use_shared_memory_profile()
    keep_freed_memory()
    cv2.setNumThreads(1)  # images are processed side by side, which costs a fifth less
    try:
        _init(args)
        _run()
    except (FsmdeError, ParameterException) as error:
        print(f"surround_depth: {error}", file=sys.stderr)
        return 2
    return 0


def _init(args: list[str] | None) -> None:
    # rclpy's own handler would shut the context down under the executor, which then fails now and then; and a second
    # Ctrl-C would interrupt the clean-up, which leaves segments in /dev/shm. So a signal only ends what `_run` does.
    try:
        unknown = remove_ros_args(args)[1:]
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError and UnknownROSArgsError, neither of which rclpy exports
        reason = " ".join(_SOURCE_LINE.sub("", str(error)).split())
        raise FsmdeError(f"cannot start with these ROS arguments, correct them or the params file: {reason}") from error
    if unknown:
        raise FsmdeError(f"there are no options {unknown}; give parameters like this: `--ros-args -p rig:=nuscenes`")


def _run() -> None:
    configuring, stop = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        first = not stop.is_set()
        stop.set()
        if first and configuring.is_set():  # engines may take minutes to build; later, threads would be left behind
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    node = None
    try:
        node = SurroundDepthNode()
        forward_logs(node.get_logger())
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            configuring.set()
            configured = not stop.is_set() and node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            configuring.clear()
            if configured and not stop.is_set():
                node.trigger_activate()
        while not stop.is_set():
            executor.spin_once()  # the timers end it every few milliseconds, at most after PERIOD_S
    except KeyboardInterrupt:
        pass
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        for number in _SIGNALS:  # Python resets handlers of its own before the process has ended, but not these
            signal.signal(number, signal.SIG_IGN)
