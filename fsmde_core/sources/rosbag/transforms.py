"""Holds the tree of frames that /tf_static and /tf describe, and interpolates where each frame was at a given time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.geometry import Matrix, interpolate, invert

# No pose is interpolated over a longer gap, and none extrapolated further.
LIMIT_NS = 500_000_000
# Extrapolation uses the motion over at least this time, so that the noise of neighbouring poses does not grow.
BASELINE_NS = 100_000_000
# Poses older than the newest by more are dropped, as tf2 does it.
MEMORY_NS = 10_000_000_000
# Transforms that differ by less, in metres and in the entries of a rotation, are the same one sent again.
SAME = 1e-6
MAX_CHAINS = 64


class Track:
    """Holds the poses of a moving frame in its parent over the last ten seconds, in order of time."""

    def __init__(self, parent: str, child: str) -> None:
        self.parent, self.child = parent, child
        self._stamps: list[int] = []
        self._poses: list[Matrix] = []
        self._first: Matrix | None = None
        self._rests = True

    @property
    def newest_ns(self) -> int | None:
        return self._stamps[-1] if self._stamps else None

    @property
    def resting_pose(self) -> Matrix | None:
        """The pose that every message gave, None where they differ or there is none."""
        return self._first if self._rests else None

    def add(self, stamp_ns: int, T_parent_child: Matrix) -> None:
        self._first = T_parent_child if self._first is None else self._first
        self._rests = self._rests and _is_same(self._first, T_parent_child)
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
    """Holds frames, each in its parent: fixed (/tf_static) or moving (/tf).

    Of several parents the one counts that `follow` was told, else that of a fixed transform, else the latest. The last
    transform of a fixed child counts. `lookup` computes T_target_frame, (4, 4), at a time, or without one where it is
    fixed, and raises FsmdeError where the frames are not connected or have no pose near that time.
    """

    def __init__(self) -> None:
        self._fixed: dict[str, tuple[str, Matrix]] = {}  # replaced, never changed: snapshots share it
        self._moving: dict[str, dict[str, Track]] = {}  # child, parent, the latest parent last
        self._followed: dict[str, str] = {}
        self._resting: set[str] = set()

    def add_fixed(self, parent: str, child: str, T_parent_child: Matrix) -> bool:
        """Add a fixed transform.

        Args:
            parent, child: Frames.
            T_parent_child: (4, 4).

        Returns:
            Whether it differs from one that was known.
        """
        known = self._fixed.get(child)
        if known is not None and known[0] == parent and _is_same(known[1], T_parent_child):
            return False
        self._fixed = {**self._fixed, child: (parent, T_parent_child)}
        return known is not None

    def add_moving(self, parent: str, child: str, stamp_ns: int, T_parent_child: Matrix) -> bool:
        """Add a pose.

        Args:
            parent, child: Frames.
            stamp_ns: Its time, nanoseconds.
            T_parent_child: (4, 4).

        Returns:
            Whether it moves a frame that rested in its parent until now.
        """
        if child in self._resting and self._fixed[child][0] == parent:
            return self.add_fixed(parent, child, T_parent_child)
        tracks = self._moving.setdefault(child, {})
        track = tracks.pop(parent, None) or Track(parent, child)
        tracks[parent] = track
        track.add(stamp_ns, T_parent_child)
        return False

    def without_poses(self) -> TransformTree:
        """Copy the tree without the poses of moving frames."""
        tree = self.snapshot()
        tree._moving = {
            child: {parent: Track(parent, child) for parent in tracks} for child, tracks in self._moving.items()
        }
        return tree

    def snapshot(self) -> TransformTree:
        """Keep the fixed transforms of now, and share the moving ones."""
        tree = TransformTree()
        tree._fixed, tree._moving = self._fixed, self._moving
        tree._followed, tree._resting = dict(self._followed), set(self._resting)
        return tree

    def has_place(self, child: str) -> bool:
        """Whether the child has a fixed transform, used or not."""
        return child in self._fixed

    def closes_circle(self, parent: str, child: str) -> bool:
        """Whether a transform would make a frame its own ancestor.

        Args:
            parent, child: Its frames.

        Returns:
            True where it would.
        """
        return parent not in self.parents(child) and child in self.chain(parent)

    def parents(self, child: str) -> list[str]:
        """List every parent that the child was given."""
        fixed = [self._fixed[child][0]] if child in self._fixed else []
        return fixed + [parent for parent in self._moving.get(child, ()) if parent not in fixed]

    def follow(self, chain: Sequence[str]) -> None:
        """Let each frame of the chain that moves in the next one have this parent, whatever others it is given."""
        self._followed.update((child, parent) for child, parent in pairwise(chain) if self.is_moving(child, parent))

    def followed(self, child: str) -> str | None:
        """Return the parent that `follow` gave the child."""
        return self._followed.get(child)

    def rest(self, frame: str) -> None:
        """Take every frame from here to the root for fixed that had poses on /tf, all of them the same."""
        for child in self.chain(frame):
            track = self._track(child)
            if track is not None and child not in self._followed and (pose := track.resting_pose) is not None:
                self._resting.add(child)
                self.add_fixed(track.parent, child, pose)

    def chains(self, frame: str) -> list[list[str]]:
        """List the chains from `frame` to a root along all parents, those of `chain` first."""
        found: list[list[str]] = []
        waiting = [[frame]]
        while waiting and len(found) < MAX_CHAINS:
            chain = waiting.pop()
            first = self._parent(chain[-1])
            parents = sorted(self.parents(chain[-1]), key=lambda parent: parent == first)  # the last is taken first
            above = [[*chain, parent] for parent in parents if parent not in chain]
            waiting += above
            if not above:
                found.append(chain)
        return found

    def is_moving(self, child: str, parent: str) -> bool:
        """Whether a frame has poses in a parent, and no fixed place there.

        Args:
            child, parent: The frames.

        Returns:
            True where it has.
        """
        return parent in self._moving.get(child, ()) and self._fixed.get(child, ("",))[0] != parent

    def chain(self, frame: str) -> list[str]:
        """List `frame` and its ancestors up to the root; FsmdeError where they form a circle."""
        chain = [frame]
        while (parent := self._parent(chain[-1])) is not None:
            if parent in chain:
                raise FsmdeError(f"the transforms go in a circle at frame '{parent}'; each frame needs one parent")
            chain.append(parent)
        return chain

    def fixed_root(self, frame: str) -> str:
        """Return the last ancestor that the frame is fixed to."""
        chain = self.chain(frame)
        return next((child for child in chain if not self.is_fixed(child)), chain[-1])

    def frames(self) -> set[str]:
        """Name all frames of the tree."""
        children = {*self._fixed, *self._moving}
        return children | {parent for child in children for parent in self.parents(child)}

    def is_fixed(self, frame: str) -> bool:
        return self._track(frame) is None

    def is_connected(self, target: str, frame: str) -> bool:
        return self.chain(target)[-1] == self.chain(frame)[-1]

    def tracks_between(self, target: str, frame: str) -> list[Track]:
        if not self.is_connected(target, frame):
            return []
        target_path, frame_path = self._paths(target, frame)
        return [track for child in target_path + frame_path if (track := self._track(child)) is not None]

    def lookup(self, target: str, frame: str, stamp_ns: int | None = None) -> Matrix:
        if not self.is_connected(target, frame):
            known = sorted(self.frames())
            raise FsmdeError(
                f"/tf_static does not join '{frame}' to '{target}'; it knows the frames {known}; "
                "record the rig's static transforms"
            )
        target_path, frame_path = self._paths(target, frame)
        return invert(self._compose(target_path, stamp_ns)) @ self._compose(frame_path, stamp_ns)

    def _parent(self, child: str) -> str | None:
        if child in self._followed:
            return self._followed[child]
        if child in self._fixed:
            return self._fixed[child][0]
        return next(reversed(self._moving[child]), None) if child in self._moving else None

    def _track(self, child: str) -> Track | None:
        """Return the poses of a child in the parent that counts, None where it is fixed there."""
        parent = self._parent(child)
        return self._moving[child][parent] if parent is not None and self.is_moving(child, parent) else None

    def _paths(self, target: str, frame: str) -> tuple[list[str], list[str]]:
        """List the frames from either one up to, and without, their first common ancestor."""
        target_chain, frame_chain = self.chain(target), self.chain(frame)
        common = next(ancestor for ancestor in frame_chain if ancestor in target_chain)
        return target_chain[: target_chain.index(common)], frame_chain[: frame_chain.index(common)]

    def _compose(self, path: list[str], stamp_ns: int | None) -> Matrix:
        """Compose the transforms along a path upwards to T_ancestor_frame, where the path begins at `frame`."""
        T = np.eye(4)
        for child in path:
            track = self._track(child)
            if track is None:
                T = self._fixed[child][1] @ T
            elif stamp_ns is not None:
                T = track.pose_at(stamp_ns) @ T
            else:
                raise FsmdeError(
                    f"'{child}' moves in '{track.parent}', it is on /tf; "
                    "what is calibrated must be fixed, on /tf_static"
                )
        return T


def _is_same(one: Matrix, other: Matrix) -> bool:
    return bool(np.abs(one - other).max() <= SAME)
