"""What /tf_static and /tf say: fixed transforms between frames, and the vehicle's pose over time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.geometry import Matrix, interpolate, invert


class StaticTree:
    """Fixed transforms between named frames."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, Matrix]] = {}

    def add(self, parent: str, child: str, T_parent_child: Matrix) -> None:
        """Add one transform; the last one of a child holds."""
        self._parents[child] = (parent, T_parent_child)

    def chain(self, frame: str) -> dict[str, Matrix]:
        """Ancestor -> T_ancestor_frame, from `frame` itself (identity) up to the root."""
        chain = {frame: np.eye(4)}
        current = frame
        while current in self._parents:
            parent, T_parent_current = self._parents[current]
            if parent in chain:
                raise FsmdeError(f"/tf_static goes in a circle at frame '{parent}'; each frame needs one parent")
            chain[parent] = T_parent_current @ chain[current]
            current = parent
        return chain

    def lookup(self, target: str, frame: str) -> Matrix:
        """T_target_frame, (4, 4); FsmdeError when no chain of fixed transforms joins the two."""
        ours, theirs = self.chain(target), self.chain(frame)
        for ancestor, T_ancestor_frame in theirs.items():
            if ancestor in ours:
                return invert(ours[ancestor]) @ T_ancestor_frame
        known = sorted(self._parents.keys() | {parent for parent, _ in self._parents.values()})
        raise FsmdeError(
            f"/tf_static does not join '{frame}' to '{target}'; it knows the frames {known}; "
            "record the rig's static transforms"
        )


class Trajectory:
    """The vehicle's pose over time, T_world_base; between two poses linear in place and at constant turning rate."""

    def __init__(self, poses: Mapping[int, Matrix]) -> None:
        """poses: stamp in nanoseconds -> (4, 4) T_world_base; none means that the vehicle stands still."""
        self._stamps = sorted(poses)
        self._poses = [poses[stamp] for stamp in self._stamps]

    def at(self, stamp_ns: int) -> Matrix:
        """T_world_base at `stamp_ns`; before the first and after the last pose, that pose."""
        if not self._stamps:
            return np.eye(4)
        after = bisect_left(self._stamps, stamp_ns)
        if after == len(self._stamps):
            return self._poses[-1]
        if after == 0 or self._stamps[after] == stamp_ns:
            return self._poses[after]
        t0, t1 = self._stamps[after - 1], self._stamps[after]
        return interpolate(self._poses[after - 1], self._poses[after], (stamp_ns - t0) / (t1 - t0))
