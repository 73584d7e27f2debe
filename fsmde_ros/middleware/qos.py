"""Quality of service of every topic; each can be overridden by parameters, e.g.
`qos_overrides./front/image_raw.subscription.reliability: reliable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    """Subscriptions: best effort hears every publisher. A fresh object, since rclpy writes overrides into it."""
    return _profile(ReliabilityPolicy.BEST_EFFORT, depth=5)


def output() -> QoSProfile:
    """Publishers: reliable serves every subscriber; two messages deep, since stale depth is of no use."""
    return _profile(ReliabilityPolicy.RELIABLE, depth=2)


def subscription(node: Any, kind: Any, topic: str, callback: Callable[..., object]) -> Any:
    """Of `sensor()`, as overridden; FsmdeError for parameters that are no QoS."""
    with _overridden(node, topic, "subscription") as options:
        return node.create_subscription(
            kind,
            topic,
            callback,
            sensor(),
            qos_overriding_options=options,
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
        )


def lifecycle_publisher(node: Any, kind: Any, topic: str) -> Any:
    """Of `output()`, as overridden; FsmdeError for parameters that are no QoS."""
    with _overridden(node, topic, "publisher") as options:
        return node.create_lifecycle_publisher(
            kind, topic, output(), qos_overriding_options=options, event_callbacks=NO_PUBLISHER_EVENTS
        )


@contextmanager
def _overridden(node: Any, topic: str, end: str) -> Iterator[QoSOverridingOptions]:
    """The options make rclpy declare the `qos_overrides` parameters of one topic."""
    try:
        yield QoSOverridingOptions(_POLICIES)
    except (RuntimeError, ValueError, ParameterException) as error:
        name = node.resolve_topic_name(topic)
        raise FsmdeError(f"cannot open {name} with qos_overrides.{name}.{end}: {error}") from error


def mismatches(node: Any, ours: Any) -> list[str]:
    """What keeps peers of `ours`, a publisher or subscription of `node`, from it: one reason per peer, in words."""
    # Asked for by the name that `ours` was made with, since rclpy remaps it here as it did there.
    if hasattr(ours, "publish"):
        found = node.get_subscriptions_info_by_topic(ours.topic)
        return _reasons((ours.qos_profile, peer.qos_profile) for peer in found)
    found = node.get_publishers_info_by_topic(ours.topic)
    return _reasons((peer.qos_profile, ours.qos_profile) for peer in found)


def _reasons(pairs: Iterable[tuple[QoSProfile, QoSProfile]]) -> list[str]:
    """pairs: (publisher's, subscription's)."""
    checked = [qos_check_compatible(_essence(publisher), _essence(subscription)) for publisher, subscription in pairs]
    return [
        reason.replace("ERROR: ", "").strip("; ").replace(";", ", ").lower()
        for compatibility, reason in checked
        if compatibility == QoSCompatibility.ERROR
    ]


def _essence(profile: QoSProfile) -> QoSProfile:
    """What can be overridden and can keep peers apart. Times are left out: our own profiles leave them open, and the
    graph gives them as infinite, which rclpy takes for a difference."""
    return QoSProfile(depth=1, reliability=profile.reliability, durability=profile.durability)
