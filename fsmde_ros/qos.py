"""Quality of service of every topic; each can be overridden by parameters, e.g.
`qos_overrides./front/image_raw.subscription.reliability: reliable`.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

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


def overridable() -> QoSOverridingOptions:
    """Makes rclpy declare the `qos_overrides` parameters of one topic."""
    return QoSOverridingOptions(_POLICIES)
