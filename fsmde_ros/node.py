"""The managed node `surround_depth`: camera images in, metric depth images and point clouds out."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.pipeline import Pipeline
from fsmde_core.preprocess import Preprocessor
from fsmde_ros import diagnostics, parameters
from fsmde_ros.calibration import Calibration
from fsmde_ros.dds import use_shared_memory_profile
from fsmde_ros.health import Health
from fsmde_ros.inputs import SurroundSubscriber
from fsmde_ros.logs import forward_to
from fsmde_ros.outputs import Outputs
from fsmde_ros.settings import Live, Setup
from fsmde_ros.transforms import TransformMounts
from fsmde_ros.worker import Worker

PERIOD_S = 1.0  # of diagnostics
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SurroundDepth(LifecycleNode):
    """Configure loads rig and engine, activate receives and publishes, deactivate stops, cleanup releases.

    A transition that fails leaves the node unconfigured, with the reason in the log and on /diagnostics.
    Everything but inference runs on the executor's one thread; see `Worker` for the other.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("surround_depth", **node_options)
        self._reason = ""
        self._setup: Setup | None = None
        self.pipeline: Pipeline | None = None
        self._calibration: Calibration | None = None
        self._mounts: TransformMounts | None = None
        self._outputs: Outputs | None = None
        self._inputs: SurroundSubscriber | None = None
        self._worker: Worker | None = None
        self._reporter: diagnostics.Reporter | None = None
        parameters.declare(self)
        self._live = Live.read(parameters.values(self))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = self.create_timer(PERIOD_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def start(self) -> bool:
        """Configure and activate; False when either failed."""
        return all(
            trigger() == TransitionCallbackReturn.SUCCESS for trigger in (self.trigger_configure, self.trigger_activate)
        )

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
        entities: Callable[[LifecycleState], TransitionCallbackReturn],
    ) -> TransitionCallbackReturn:
        try:
            action()
        except FsmdeError as error:
            self._reason = f"cannot {what}: {error}"
        except Exception as error:
            self._reason = f"cannot {what}: {type(error).__name__}: {error}"
            self.get_logger().error(traceback.format_exc())
        else:
            self._reason = ""
            return entities(state)
        self.get_logger().error(self._reason)
        return TransitionCallbackReturn.ERROR

    def _configure(self) -> None:
        setup = Setup.read(parameters.values(self))
        engine = load_engine(setup.engine, setup.model, setup.threads)
        info = engine.info
        self.pipeline = Pipeline(engine, Preprocessor(info.width, info.height, setup.threads))
        self.pipeline.warm_up(len(setup.rig.cameras))
        self._calibration = Calibration(setup.rig)
        self._outputs = Outputs(self, setup.rig)
        self._mounts = TransformMounts(self, self._calibration) if setup.use_tf else None
        self._setup = setup
        self.get_logger().info(
            f"{setup.model.name} on {engine.name} ({engine.device}, {engine.precision}), {info.width}x{info.height}, "
            f"cameras {', '.join(setup.rig.names)}"
        )

    def _activate(self) -> None:
        setup, calibration, pipeline, outputs = self._setup, self._calibration, self.pipeline, self._outputs
        if setup is None or calibration is None or pipeline is None or outputs is None:
            raise FsmdeError("the node is not configured")
        health = Health(setup.rig.names, self.get_logger().warning)
        self._worker = Worker(
            pipeline, calibration, outputs, health, lambda: self._live, self._missing_mounts, setup.sync.min_cameras
        )
        self._inputs = SurroundSubscriber(
            self, calibration, health, setup.sync, setup.compressed, setup.use_camera_info
        )
        self._inputs.registerCallback(self._worker.offer)
        self._reporter = diagnostics.Reporter(self.get_name(), health, self._inputs, calibration, self.count_publishers)

    def _missing_mounts(self) -> dict[str, str]:
        return self._mounts.missing if self._mounts is not None else {}

    def _stop(self) -> None:
        for part in (self._inputs, self._worker):
            if part is not None:
                part.close()
        self._inputs = self._worker = self._reporter = None

    def _release(self) -> None:
        self._stop()
        for part in (self._mounts, self._outputs, self.pipeline):
            if part is not None:
                part.close()
        self._mounts = self._outputs = self.pipeline = self._calibration = self._setup = None

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in changed}
        try:
            parameters.check_change(changes, configured=self._setup is not None)
            self._live = Live.read({**parameters.values(self), **changes})
        except FsmdeError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_timer(self) -> None:
        if self._mounts is not None:
            self._mounts.refresh()
        engine = self.pipeline.engine if self.pipeline is not None else None
        state = self._state_machine.current_state[1]
        statuses = [diagnostics.node_status(self.get_name(), state, self._reason, engine)]
        if self._reporter is not None:
            statuses += self._reporter.statuses(self._live.stale_after_s)
        self._diagnostics.publish(diagnostics.array(self.get_clock().now().to_msg(), statuses))


def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C or SIGTERM; 0 then, 2 when its parameters cannot be read."""
    use_shared_memory_profile()
    # rclpy's own handler would shut the context down under the executor, which then fails now and then; and a second
    # Ctrl-C would break off the clean-up, so that segments stay in /dev/shm. So a signal only ends the loop.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    node = None
    try:
        node = SurroundDepth()
        forward_to(node.get_logger())
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            node.start()
        while not stop.is_set():
            executor.spin_once()  # the timers end it every few milliseconds, at most after PERIOD_S
    except (FsmdeError, ParameterException, InvalidParameterException) as error:
        print(f"surround_depth: {error}", file=sys.stderr)
        return 2
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        for number in _SIGNALS:  # Python gives back its handlers, but not these, before the process has ended
            signal.signal(number, signal.SIG_IGN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
