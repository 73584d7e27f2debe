"""What differs between ROS distributions: message_filters.SimpleFilter, the base of the node's input, is the real one
where a distribution brings it, else a stand-in with its names, arguments and results, since no wheel has it; and an
answer to requests that a lifecycle node refuses. readers.py holds what only readers need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode


class StandInSimpleFilter:
    """message_filters.SimpleFilter: passes what it is given on to every registered callback."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(*message, *args)` for every message; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


if TYPE_CHECKING:
    SimpleFilter = StandInSimpleFilter
else:
    try:
        from message_filters import SimpleFilter
    except ImportError:
        SimpleFilter = StandInSimpleFilter


def survive_refused_transitions(node: LifecycleNode) -> None:
    """Answer requests for a transition that the state does not allow: up to Jazzy rclpy raises them, and that would end
    the executor with the node."""
    service: Any = node._service_change_state  # rclpy gives it in no public way
    change = service.callback

    def change_or_refuse(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except RuntimeError as error:  # RCLError, which rclpy does not export
            node.get_logger().error(f"refused transition {request.transition.label or request.transition.id}: {error}")
            response.success = False
            return response

    service.callback = change_or_refuse
