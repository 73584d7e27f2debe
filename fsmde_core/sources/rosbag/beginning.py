"""Reads the calibration at the beginning of a bag, and leaves cameras out that have none."""

from __future__ import annotations

from collections.abc import Mapping

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.rig_file import RigFile
from fsmde_core.sources.rosbag.calibration import BagCalibration, note_doubts
from fsmde_core.sources.rosbag.sensors import depth_encoding
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.tf import add_transforms, is_static, motion_note, note_parents, world_chain
from fsmde_core.sources.rosbag.topics import CameraTopics

DEFAULT_BASE = "base_link"
# Transforms that come this long after everything else is known still belong to the beginning.
SETTLE_NS = 1_000_000_000
# First images and the first sweep are looked for this long.
FIRST_NS = 5_000_000_000


def read_calibration(
    bag: Bag,
    cameras: Mapping[str, CameraTopics],
    lidar: str | None,
    transforms: list[str],
    base_frame: str | None = None,
    rig_file: RigFile | None = None,
) -> BagCalibration:
    """Read the rig, the tree of frames, and how the vehicle moves.

    A camera that cannot be used is left out with a note.

    Args:
        bag: Is read to its end where something is missing.
        cameras: Camera name -> its topics.
        lidar: Topic of the point clouds, if there is one.
        transforms: Topics of transforms.
        base_frame: The vehicle's frame; None for that of the rig file, else `base_link`.
        rig_file: Serves where the bag has no camera_info or no transforms.

    Returns:
        The calibration at the beginning; of several fixed transforms of a frame, and of several camera_info, the first.

    Raises:
        FsmdeError: No camera can be used.
    """
    base = base_frame or (rig_file.rig.base_frame if rig_file else DEFAULT_BASE)
    known = {camera.name: camera for camera in rig_file.rig.cameras} if rig_file else {}
    return _Beginning(bag, BagCalibration(cameras, base, known), transforms).read(lidar)


class _Beginning:
    def __init__(self, bag: Bag, calibration: BagCalibration, transforms: list[str]) -> None:
        self._bag, self._calibration, self._transforms = bag, calibration, transforms
        self._faults: dict[str, str] = {}  # of cameras whose camera_info cannot be used
        self._left_out: list[str] = []

    def read(self, lidar: str | None) -> BagCalibration:
        calibration, tree, base = self._calibration, self._calibration.tree, self._calibration.base_frame
        lidar_frame = self._read_first(lidar)
        self._read_transforms_and_infos()
        chain = world_chain(tree, base)
        tree.follow(chain)
        calibration.world = chain[-1] if chain else None
        if not chain:
            self._bag.note(motion_note(base))
        for child in chain[:-1]:
            if (parent := tree.followed(child)) and len(parents := tree.parents(child)) > 1:
                note_parents(self._bag, child, [parent, *(other for other in parents if other != parent)])
        self._place()
        if lidar_frame is not None and tree.is_connected(base, lidar_frame):
            tree.rest(lidar_frame)
        return calibration

    def _read_first(self, lidar: str | None) -> str | None:
        """Read the first image of each camera, which may be depth, and return the frame of the first sweep."""
        wanted = {topics.image: name for name, topics in self._calibration.cameras.items()} | (
            {lidar: ""} if lidar else {}
        )
        frame, end_ns = None, None
        for record in self._bag.messages(list(wanted)):
            end_ns = end_ns or record.time_ns + FIRST_NS
            try:
                if record.topic == lidar:
                    frame = frame or record.frame_id
                elif name := wanted.get(record.topic):
                    self._calibration.image_frames[name] = record.frame_id
                    if encoding := depth_encoding(record, self._calibration.cameras[name].type):
                        self._leave_out(name, f"its images hold depth ({encoding})")
                wanted.pop(record.topic, None)
            except FsmdeError:
                pass  # a pass judges every message; the next one of the topic may be good
            if not wanted or record.time_ns > end_ns:
                break
        return frame

    def _read_transforms_and_infos(self) -> None:
        names = {topics.info: name for name, topics in self._calibration.cameras.items() if topics.info}
        settled_ns: int | None = None
        for record in self._bag.messages([*self._transforms, *names]):
            if record.topic in self._transforms:
                add_transforms(self._bag, self._calibration.tree, record)
            else:
                self._add_info(names[record.topic], record)
            if settled_ns is None and self._is_complete():
                settled_ns = record.time_ns
            if settled_ns is not None and record.time_ns > settled_ns + SETTLE_NS:
                break

    def _add_info(self, name: str, record: BagMessage) -> None:
        if name not in self._calibration.intrinsics:
            try:
                self._calibration.add_info(name, record)
                self._faults.pop(name, None)
            except FsmdeError as error:
                self._faults[name] = str(error)

    def _is_complete(self) -> bool:
        """Whether every camera is placed in the base frame, and the base's motion is found."""
        calibration, tree = self._calibration, self._calibration.tree
        for name, topics in calibration.cameras.items():
            if topics.info and name not in calibration.intrinsics:
                return False
            if not tree.is_connected(calibration.base_frame, calibration.frame(name)) and name not in calibration.known:
                return False
        return all(map(is_static, self._transforms)) or bool(world_chain(tree, calibration.base_frame))

    def _place(self) -> None:
        calibration, frames = self._calibration, dict[str, str]()
        for name, topics in list(calibration.cameras.items()):
            if reason := self._reason_against(name, frames):
                self._leave_out(name, reason)
            else:
                frames[calibration.frame(name)] = topics.image
                note_doubts(self._bag, calibration, name)
        if not calibration.cameras:
            raise self._error()

    def _reason_against(self, name: str, frames: Mapping[str, str]) -> str | None:
        """Say why a camera cannot be used, None where it can; `frames` are those of the cameras before."""
        calibration = self._calibration
        info = calibration.cameras[name].info
        if name not in calibration.intrinsics and name not in calibration.known:
            fault = self._faults.get(name)
            return f"its {info} cannot be used: {fault}" if fault else f"nothing on {info} can be read"
        frame = calibration.frame(name)
        if frame in frames and name not in calibration.known:
            return f"its frame '{frame}' is that of {frames[frame]}; give each camera a frame of its own"
        try:
            if calibration.tree.is_connected(calibration.base_frame, frame):
                calibration.tree.rest(frame)
            calibration.placed(name)
        except FsmdeError as error:
            return str(error)
        return None

    def _leave_out(self, name: str, reason: str) -> None:
        topics = self._calibration.cameras.pop(name)
        what = f"camera '{name}' on {topics.image} that was left out: {reason}"
        self._left_out.append(what)
        self._bag.note(f"has {what}")

    def _error(self) -> FsmdeError:
        calibration, tree = self._calibration, self._calibration.tree
        base, frames = calibration.base_frame, self._calibration.tree.frames()
        if base in frames or not frames or not calibration.intrinsics:
            return self._bag.error(f"has no camera that can be used: {'; '.join(self._left_out)}")
        roots = sorted({tree.fixed_root(calibration.frame(name)) for name in calibration.intrinsics} & frames)
        hint = f"give --base-frame {roots[0]}, which all cameras are fixed to"
        return self._bag.error(
            f"has no frame '{base}', to which the cameras are fixed; its frames are {sorted(frames)}; "
            + (hint if len(roots) == 1 else "give that of the vehicle with --base-frame")
        )
