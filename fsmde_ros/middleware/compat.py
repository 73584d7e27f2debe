"""Covers what differs between ROS distributions; readers.py holds what only readers need.

message_filters.SimpleFilter, the base of the node's input, is the real one where a distribution brings it, else a
stand-in with its names, arguments and results, since no wheel has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode


class StandInSimpleFilter:
    """Stands in for message_filters.SimpleFilter: passes every message on to all registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
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
    """Refuse requests for a transition that the state does not allow; up to Jazzy they would end executor and node."""
    service: Any = node._service_change_state  # rclpy has no public way to it
    change = service.callback

    def change_or_refuse(request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except RuntimeError as error:  # RCLError, which rclpy does not export
            node.get_logger().error(f"refused transition {request.transition.label or request.transition.id}: {error}")
            response.success = False
            return response

    service.callback = change_or_refuse
