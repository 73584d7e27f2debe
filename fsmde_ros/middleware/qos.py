"""Defines the quality of service of every topic.

Parameters override it, for instance `qos_overrides./front/image_raw.subscription.reliability: reliable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from fsmde_core.errors import FsmdeError

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# rclpy's own handlers of QoS events go through the executor with every message: of the node's some 70 that was 16 % of
# a core. Diagnostics look once a second instead for peers whose QoS does not fit: `mismatches`.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)

_POLICIES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def _profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=DurabilityPolicy.VOLATILE
    )


def sensor() -> QoSProfile:
    """Make the profile of subscriptions, anew as rclpy writes overrides into it: best effort hears every publisher."""
    return _profile(ReliabilityPolicy.BEST_EFFORT, depth=5)


def output() -> QoSProfile:
    """Make the profile of publishers: reliable serves every subscriber; two deep, since stale depth is of no use."""
    return _profile(ReliabilityPolicy.RELIABLE, depth=2)


def subscription(node: Any, kind: Any, topic: str, callback: Callable[..., object]) -> Any:
    """Subscribe with the profile `sensor()`, as the parameters `qos_overrides` change it.

    Args:
        node, kind, topic, callback: As in rclpy's `create_subscription`.

    Returns:
        The rclpy subscription.

    Raises:
        FsmdeError: The overriding parameters are no QoS.
    """
    with _overridden(node, topic, "subscription") as options:
        return node.create_subscription(
            kind, topic, callback, sensor(), qos_overriding_options=options, event_callbacks=NO_SUBSCRIPTION_EVENTS
        )


def lifecycle_publisher(node: Any, kind: Any, topic: str) -> Any:
    with _overridden(node, topic, "publisher") as options:
        return node.create_lifecycle_publisher(
            kind, topic, output(), qos_overriding_options=options, event_callbacks=NO_PUBLISHER_EVENTS
        )


@contextmanager
def _overridden(node: Any, topic: str, end: str) -> Iterator[QoSOverridingOptions]:
    """Make rclpy declare the `qos_overrides` parameters of one topic; raises FsmdeError for those that are no QoS."""
    try:
        yield QoSOverridingOptions(_POLICIES)
    except (RuntimeError, ValueError, ParameterException) as error:
        name = node.resolve_topic_name(topic)
        raise FsmdeError(f"cannot open {name} with qos_overrides.{name}.{end}: {error}") from error


def mismatches(node: Any, endpoint: Any) -> list[str]:
    """Find peers whose QoS does not fit.

    Args:
        node: The rclpy node.
        endpoint: A publisher or subscription of it.

    Returns:
        One reason per such peer, in words.
    """
    own = _decisive(endpoint.qos_profile)
    # Asked for by the name that the endpoint was made with, since rclpy remaps it here as it did there.
    if hasattr(endpoint, "publish"):
        pairs = [(own, _decisive(peer.qos_profile)) for peer in node.get_subscriptions_info_by_topic(endpoint.topic)]
    else:
        pairs = [(_decisive(peer.qos_profile), own) for peer in node.get_publishers_info_by_topic(endpoint.topic)]
    checked = [qos_check_compatible(publisher, subscriber) for publisher, subscriber in pairs]
    return [
        reason.replace("ERROR: ", "").strip("; ").replace(";", ", ").lower()
        for compatibility, reason in checked
        if compatibility == QoSCompatibility.ERROR
    ]


def _decisive(profile: QoSProfile) -> QoSProfile:
    """Return a profile of reliability and durability alone, the policies that can make two peers incompatible.

    Times are left out: our own profiles leave them open, and the graph gives them as infinite, which rclpy takes for a
    difference.
    """
    return QoSProfile(depth=1, reliability=profile.reliability, durability=profile.durability)
