"""Reads rosbag2 recordings: one or several mcap or sqlite3 files as one stream of messages, grouped into frames."""

from fsmde_core.sources.rosbag.source import RosbagSource

__all__ = ["RosbagSource"]
