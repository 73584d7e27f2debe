"""Passes items from one thread to another, the newest alone: overload raises the number of drops, not the latency."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds at most one item; `put` never waits, `get` waits for an item."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Store an item and return the one that it replaced, which no `get` has returned."""
        with self._condition:
            replaced, self._item = self._item, item
            self._condition.notify()
        return replaced

    def get(self) -> T | None:
        """Remove and return the item, waiting for one; None once closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Make `get` return None from now on, and wake the thread that waits in it."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
