"""The tree of frames that /tf_static and /tf describe, and where each frame was at a moment."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix, interpolate, invert

# Poses further apart than this are not joined, and no motion goes on for longer than this beyond its last pose.
LIMIT_NS = 500_000_000
# Motion beyond the last pose is that over at least this time, so that the noise of neighbouring poses does not grow.
BASELINE_NS = 100_000_000
# Poses older than the newest by more are let go, as tf2 does it.
MEMORY_NS = 10_000_000_000


class Track:
    """Poses of a moving frame in its parent over the last ten seconds, in order of time."""

    def __init__(self, parent: str, child: str) -> None:
        self.parent, self.child = parent, child
        self._stamps: list[int] = []
        self._poses: list[Matrix] = []

    @property
    def newest_ns(self) -> int | None:
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp_ns: int, T_parent_child: Matrix) -> None:
        """Add one pose; of several with one stamp the last one holds. Far back in time, everything begins anew."""
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

    def at(self, stamp_ns: int) -> Matrix:
        """T_parent_child, (4, 4). Between two poses: linear in place, at constant turning rate.

        Beyond the first or last pose, or one that is more than 0.5 s from the next, the motion there goes on for up to
        0.5 s; FsmdeError further from any pose than that.
        """
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[after]
        since = stamp_ns - self._stamps[after - 1] if after > 0 else None
        until = self._stamps[after] - stamp_ns if after < len(self._stamps) else None
        if since is not None and until is not None and since + until <= LIMIT_NS:
            return interpolate(self._poses[after - 1], self._poses[after], since / (since + until))
        if since is not None and since <= LIMIT_NS and (until is None or since <= until):
            return self._continued(after - 1, -1, stamp_ns)
        if until is not None and until <= LIMIT_NS:
            return self._continued(after, 1, stamp_ns)
        nearest = [
            f"{gap * 1e-9:.3f} s {side}" for gap, side in ((since, "before"), (until, "after")) if gap is not None
        ]
        raise FsmdeError(
            f"/tf has no pose of '{self.child}' in '{self.parent}' within {LIMIT_NS * 1e-9:g} s of stamp "
            f"{stamp_ns * 1e-9:.3f}: the nearest lie {' and '.join(nearest) or 'nowhere'}; "
            "choose frames without the gap, or record /tf without it"
        )

    def _continued(self, edge: int, inwards: int, stamp_ns: int) -> Matrix:
        """The pose at `stamp_ns`, outside of a run of poses that ends at `edge` and goes on `inwards` (-1 or 1)."""
        inner = edge
        while abs(self._stamps[inner] - self._stamps[edge]) < BASELINE_NS:
            following = inner + inwards
            if not 0 <= following < len(self._stamps):
                break
            if abs(self._stamps[following] - self._stamps[inner]) > LIMIT_NS:
                break
            inner = following
        if inner == edge:
            return self._poses[edge]
        fraction = (stamp_ns - self._stamps[inner]) / (self._stamps[edge] - self._stamps[inner])
        return interpolate(self._poses[inner], self._poses[edge], fraction)


class TransformTree:
    """Frames, each in its parent: fixed (/tf_static) or moving (/tf). A fixed transform goes before a moving one."""

    def __init__(self) -> None:
        self._fixed: dict[str, tuple[str, Matrix]] = {}
        self._moving: dict[str, Track] = {}

    def add_fixed(self, parent: str, child: str, T_parent_child: Matrix) -> None:
        """Add one fixed transform; the last one of a child holds."""
        self._fixed[child] = (parent, T_parent_child)

    def add_moving(self, parent: str, child: str, stamp_ns: int, T_parent_child: Matrix) -> None:
        """Add one pose of a moving frame; a child that gets another parent forgets its poses in the former one."""
        track = self._moving.get(child)
        if track is None or track.parent != parent:
            track = self._moving[child] = Track(parent, child)
        track.add(stamp_ns, T_parent_child)

    def without_poses(self) -> TransformTree:
        """A tree of the same frames whose moving ones have no poses yet."""
        tree = TransformTree()
        tree._fixed = dict(self._fixed)
        tree._moving = {child: Track(track.parent, child) for child, track in self._moving.items()}
        return tree

    def chain(self, frame: str) -> list[str]:
        """`frame` and its ancestors up to the root; FsmdeError where they go in a circle."""
        chain = [frame]
        while (parent := self._parent(chain[-1])) is not None:
            if parent in chain:
                raise FsmdeError(f"the transforms go in a circle at frame '{parent}'; each frame needs one parent")
            chain.append(parent)
        return chain

    def is_fixed(self, frame: str) -> bool:
        """Whether the frame is fixed to its parent, or has none."""
        return frame in self._fixed or frame not in self._moving

    def joins(self, target: str, frame: str) -> bool:
        return self.chain(target)[-1] == self.chain(frame)[-1]

    def tracks(self, target: str, frame: str) -> list[Track]:
        """The moving transforms on the way between two frames; none where they are not joined."""
        if not self.joins(target, frame):
            return []
        ours, theirs = self._way(target, frame)
        return [self._moving[child] for child in ours + theirs if not self.is_fixed(child)]

    def lookup(self, target: str, frame: str, stamp_ns: int | None = None) -> Matrix:
        """T_target_frame, (4, 4), at `stamp_ns`, or for all time; FsmdeError when the transforms do not tell it."""
        if not self.joins(target, frame):
            known = sorted({end for child in (*self._fixed, *self._moving) for end in self.chain(child)})
            raise FsmdeError(
                f"/tf_static does not join '{frame}' to '{target}'; it knows the frames {known}; "
                "record the rig's static transforms"
            )
        ours, theirs = self._way(target, frame)
        return invert(self._product(ours, stamp_ns)) @ self._product(theirs, stamp_ns)

    def _parent(self, child: str) -> str | None:
        if child in self._fixed:
            return self._fixed[child][0]
        return self._moving[child].parent if child in self._moving else None

    def _way(self, target: str, frame: str) -> tuple[list[str], list[str]]:
        """The frames from either one up to, and without, their first common ancestor."""
        ours, theirs = self.chain(target), self.chain(frame)
        common = next(ancestor for ancestor in theirs if ancestor in ours)
        return ours[: ours.index(common)], theirs[: theirs.index(common)]

    def _product(self, way: list[str], stamp_ns: int | None) -> Matrix:
        """T_ancestor_frame over a way from `frame` upwards."""
        T = np.eye(4)
        for child in way:
            if child in self._fixed:
                T = self._fixed[child][1] @ T
            elif stamp_ns is not None:
                T = self._moving[child].at(stamp_ns) @ T
            else:
                parent = self._moving[child].parent
                raise FsmdeError(
                    f"'{child}' moves in '{parent}', it is on /tf; what is calibrated must be fixed, on /tf_static"
                )
        return T
