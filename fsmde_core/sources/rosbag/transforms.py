"""Holds the tree of frames that /tf_static and /tf describe, and interpolates where each frame was at a given time."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix, interpolate, invert

# No pose is interpolated over a longer gap, and none extrapolated further.
LIMIT_NS = 500_000_000
# Extrapolation uses the motion over at least this time, so that the noise of neighbouring poses does not grow.
BASELINE_NS = 100_000_000
# Poses older than the newest by more are dropped, as tf2 does it.
MEMORY_NS = 10_000_000_000


class Track:
    """Holds the poses of a moving frame in its parent over the last ten seconds, in order of time."""

    def __init__(self, parent: str, child: str) -> None:
        self.parent, self.child = parent, child
        self._stamps: list[int] = []
        self._poses: list[Matrix] = []

    @property
    def newest_ns(self) -> int | None:
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp_ns: int, T_parent_child: Matrix) -> None:
        # Of several poses with one stamp the last one counts. A stamp far back in time starts the track anew.
        if self._stamps and stamp_ns < self._stamps[-1] - MEMORY_NS:
            self._stamps.clear()
            self._poses.clear()
        at = bisect_left(self._stamps, stamp_ns)
        if at < len(self._stamps) and self._stamps[at] == stamp_ns:
            self._poses[at] = T_parent_child
        else:
            self._stamps.insert(at, stamp_ns)
            self._poses.insert(at, T_parent_child)
        count = bisect_left(self._stamps, self._stamps[-1] - MEMORY_NS)
        del self._stamps[:count], self._poses[:count]

    def pose_at(self, stamp_ns: int) -> Matrix:
        """Compute T_parent_child, (4, 4): linear in translation between two poses, at a constant rate of rotation.

        Beyond the first or last pose, or one that is more than 0.5 s from the next, the motion there is extrapolated by
        up to 0.5 s; further from any pose than that, FsmdeError is raised.
        """
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[after]
        since = stamp_ns - self._stamps[after - 1] if after > 0 else None
        until = self._stamps[after] - stamp_ns if after < len(self._stamps) else None
        if since is not None and until is not None and since + until <= LIMIT_NS:
            return interpolate(self._poses[after - 1], self._poses[after], since / (since + until))
        if since is not None and since <= LIMIT_NS and (until is None or since <= until):
            return self._extrapolated(after - 1, -1, stamp_ns)
        if until is not None and until <= LIMIT_NS:
            return self._extrapolated(after, 1, stamp_ns)
        gaps = [f"{gap * 1e-9:.3f} s {side}" for gap, side in ((since, "before"), (until, "after")) if gap is not None]
        raise FsmdeError(
            f"/tf has no pose of '{self.child}' in '{self.parent}' within {LIMIT_NS * 1e-9:g} s of stamp "
            f"{stamp_ns * 1e-9:.3f}: {'the nearest lie ' + ' and '.join(gaps) if gaps else 'it has none at all'}; "
            "choose frames without the gap, or record /tf without it"
        )

    def _extrapolated(self, edge: int, inwards: int, stamp_ns: int) -> Matrix:
        """Extrapolate beyond the pose `edge`, from the motion between it and those that lie `inwards` (-1 or 1)."""
        inner = edge
        while abs(self._stamps[inner] - self._stamps[edge]) < BASELINE_NS:
            following = inner + inwards
            is_known = 0 <= following < len(self._stamps)
            if not is_known or abs(self._stamps[following] - self._stamps[inner]) > LIMIT_NS:
                break
            inner = following
        if inner == edge:
            return self._poses[edge]
        fraction = (stamp_ns - self._stamps[inner]) / (self._stamps[edge] - self._stamps[inner])
        return interpolate(self._poses[inner], self._poses[edge], fraction)


class TransformTree:
    """Holds frames, each in its parent: fixed (/tf_static) or moving (/tf). A fixed one takes precedence.

    The last transform of a fixed child counts; a moving child that gets another parent loses its former poses.
    `lookup` computes T_target_frame, (4, 4), at a time, or without one where it is fixed, and raises FsmdeError where
    the frames are not connected or have no pose near that time.
    """

    def __init__(self) -> None:
        self._fixed: dict[str, tuple[str, Matrix]] = {}
        self._moving: dict[str, Track] = {}

    def add_fixed(self, parent: str, child: str, T_parent_child: Matrix) -> None:
        self._fixed[child] = (parent, T_parent_child)

    def add_moving(self, parent: str, child: str, stamp_ns: int, T_parent_child: Matrix) -> None:
        track = self._moving.get(child)
        if track is None or track.parent != parent:
            track = self._moving[child] = Track(parent, child)
        track.add(stamp_ns, T_parent_child)

    def without_poses(self) -> TransformTree:
        """Copy the tree without the poses of moving frames."""
        tree = TransformTree()
        tree._fixed = dict(self._fixed)
        tree._moving = {child: Track(track.parent, child) for child, track in self._moving.items()}
        return tree

    def chain(self, frame: str) -> list[str]:
        """List `frame` and its ancestors up to the root; FsmdeError where they form a circle."""
        chain = [frame]
        while (parent := self._parent(chain[-1])) is not None:
            if parent in chain:
                raise FsmdeError(f"the transforms go in a circle at frame '{parent}'; each frame needs one parent")
            chain.append(parent)
        return chain

    def is_fixed(self, frame: str) -> bool:
        return frame in self._fixed or frame not in self._moving

    def is_connected(self, target: str, frame: str) -> bool:
        return self.chain(target)[-1] == self.chain(frame)[-1]

    def tracks_between(self, target: str, frame: str) -> list[Track]:
        if not self.is_connected(target, frame):
            return []
        target_path, frame_path = self._paths(target, frame)
        return [self._moving[child] for child in target_path + frame_path if not self.is_fixed(child)]

    def lookup(self, target: str, frame: str, stamp_ns: int | None = None) -> Matrix:
        if not self.is_connected(target, frame):
            known = sorted({end for child in (*self._fixed, *self._moving) for end in self.chain(child)})
            raise FsmdeError(
                f"/tf_static does not join '{frame}' to '{target}'; it knows the frames {known}; "
                "record the rig's static transforms"
            )
        target_path, frame_path = self._paths(target, frame)
        return invert(self._compose(target_path, stamp_ns)) @ self._compose(frame_path, stamp_ns)

    def _parent(self, child: str) -> str | None:
        if child in self._fixed:
            return self._fixed[child][0]
        return self._moving[child].parent if child in self._moving else None

    def _paths(self, target: str, frame: str) -> tuple[list[str], list[str]]:
        """List the frames from either one up to, and without, their first common ancestor."""
        target_chain, frame_chain = self.chain(target), self.chain(frame)
        common = next(ancestor for ancestor in frame_chain if ancestor in target_chain)
        return target_chain[: target_chain.index(common)], frame_chain[: frame_chain.index(common)]

    def _compose(self, path: list[str], stamp_ns: int | None) -> Matrix:
        """Compose the transforms along a path upwards to T_ancestor_frame, where the path begins at `frame`."""
        T = np.eye(4)
        for child in path:
            if child in self._fixed:
                T = self._fixed[child][1] @ T
            elif stamp_ns is not None:
                T = self._moving[child].pose_at(stamp_ns) @ T
            else:
                parent = self._moving[child].parent
                raise FsmdeError(
                    f"'{child}' moves in '{parent}', it is on /tf; what is calibrated must be fixed, on /tf_static"
                )
        return T
