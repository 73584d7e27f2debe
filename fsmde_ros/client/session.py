"""Provides a command with an rclpy node in a context of its own, which leaves signals to Python and ends in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsmde_core.errors import FsmdeError
from fsmde_ros.middleware.dds import use_shared_memory_profile
from fsmde_ros.middleware.process import keep_freed_memory


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def needing_ros() -> Iterator[None]:
    """Turn the error of an import that needs ROS 2 into an FsmdeError."""
    try:
        yield
    except ImportError as error:
        raise FsmdeError(
            f"this command needs ROS 2 ({error}); source a ROS 2 installation or `pip install 'fsmde_ros[ros]'`"
        ) from error


@contextmanager
def ros_node(name: str, namespace: str = "") -> Iterator[Any]:
    """Open a node and shut it down at the end, on Ctrl-C and SIGTERM too: Fast DDS leaves nothing in /dev/shm.

    Args:
        name, namespace: The node's.

    Yields:
        The rclpy node.

    Raises:
        FsmdeError: There is no ROS 2, or the namespace is not valid.
    """
    with needing_ros():
        import rclpy
        from rclpy.exceptions import InvalidNamespaceException
        from rclpy.signals import SignalHandlerOptions
        from rclpy.validate_namespace import validate_namespace
    try:  # before the node is made, which would print a warning of rclpy first
        validate_namespace(namespace if namespace.startswith("/") else f"/{namespace}")
    except InvalidNamespaceException as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise FsmdeError(f"namespace '{namespace}' cannot be used: {reason}") from error
    use_shared_memory_profile()
    keep_freed_memory()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        node = rclpy.create_node(name, namespace=namespace, context=context)
        try:
            yield node
        finally:
            interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break off the clean-up
            node.destroy_node()
            signal.signal(signal.SIGINT, interrupt)
    finally:
        context.try_shutdown()
        signal.signal(signal.SIGTERM, before)
