"""message_filters.SimpleFilter, the base of the node's input: the real one where a ROS distribution brings it, else a
stand-in with its names, arguments and results, since no wheel has it. readers.py holds what only readers need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any


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
