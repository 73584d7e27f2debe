"""Holds the calibration in force at a place in a bag: the cameras' intrinsics and the tree of frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fsmde_core.errors import FsmdeError
from fsmde_core.images.rectify import lens_warning
from fsmde_core.messages.encode import CAMERA_INFO
from fsmde_core.messages.read import camera_from_info
from fsmde_core.rig.geometry import Matrix
from fsmde_core.rig.mask import mask_misfit
from fsmde_core.rig.rig import Camera, Rig, ring_order
from fsmde_core.sources.rosbag.sensors import deserialized
from fsmde_core.sources.rosbag.storage.bag import Bag
from fsmde_core.sources.rosbag.storage.records import BagMessage
from fsmde_core.sources.rosbag.topics import CameraTopics
from fsmde_core.sources.rosbag.transforms import SAME, TransformTree

_STAMP_END = 12  # bytes of encapsulation and stamp; what follows stays the same while a calibration lasts


@dataclass(frozen=True, eq=False)
class PlacedRig:
    """Holds a rig, and the tree of frames with the fixed transforms of that time."""

    rig: Rig
    tree: TransformTree


class BagCalibration:
    """Holds what is known of each camera, and how the base frame moves.

    cameras: name -> topics. base_frame: the vehicle's. world: the frame that the base moves in, None where nothing
    moves it. tree: is kept up to date by whoever reads the bag. known: cameras of a rig file, which serve where the bag
    has no calibration. image_frames: camera -> frame of its images. intrinsics: of those with a camera_info that can be
    used.
    """

    def __init__(self, cameras: Mapping[str, CameraTopics], base_frame: str, known: Mapping[str, Camera]) -> None:
        self.cameras = dict(cameras)
        self.base_frame = base_frame
        self.world: str | None = None
        self.tree = TransformTree()
        self.known = known
        self.image_frames: dict[str, str] = {}
        self.intrinsics: dict[str, Camera] = {}
        self._infos: dict[str, bytes] = {}
        self._placed: PlacedRig | None = None

    def copy(self) -> BagCalibration:
        """Copy the calibration for one pass through the bag, without poses."""
        other = BagCalibration(self.cameras, self.base_frame, self.known)
        other.world, other.tree = self.world, self.tree.without_poses()
        other.image_frames = self.image_frames
        other.intrinsics, other._infos = dict(self.intrinsics), dict(self._infos)
        return other

    def add_info(self, name: str, record: BagMessage) -> bool:
        """Use a camera_info from now on.

        Args:
            name: The camera.
            record: The message.

        Returns:
            Whether it differs from the one before.

        Raises:
            FsmdeError: It cannot be used; what was known stays in force.
        """
        content = bytes(memoryview(record.data)[_STAMP_END:])
        if self._infos.get(name) == content:
            return False
        info = deserialized(record, CAMERA_INFO)
        camera = camera_from_info(info, name, is_rectified=self.cameras[name].is_rectified)
        known = self.known.get(name)
        if not info.header.frame_id:
            camera = replace(camera, frame_id=self.image_frames.get(name) or (known.frame_id if known else ""))
        if known is not None:
            own = {key: getattr(camera, key) for key in ("width", "height", "K", "distortion_model", "D")}
            own["mask"] = None if self._mask_fault(name, camera) else known.mask
            camera = replace(known, T_base_camera=camera.T_base_camera, frame_id=camera.frame_id, **own)
        is_changed = name in self.intrinsics
        self.intrinsics[name], self._infos[name] = camera, content
        if self._placed is not None:
            self._place_anew([name])
        return is_changed

    def frame(self, name: str) -> str:
        """Return the frame of a camera: that of its camera_info, else of its images, else of the rig file."""
        if name in self.intrinsics:
            return self.intrinsics[name].frame_id.lstrip("/")
        return self.image_frames.get(name) or (self.known[name].frame_id if name in self.known else "")

    def placed(self, name: str) -> Camera:
        """Put a camera where the tree has it, else where the rig file has it; raises FsmdeError without both."""
        camera = self.intrinsics.get(name) or self.known[name]
        turned = self.intrinsics[name].T_base_camera if name in self.intrinsics else np.eye(4)
        return replace(camera, T_base_camera=self._mount(name) @ turned)

    def unused_mask(self, name: str) -> str:
        """Say why the camera's mask of the rig file is not in use; empty where it is, or where there is none."""
        return self._mask_fault(name, self.intrinsics.get(name) or self.known[name]) if name in self.known else ""

    def _mask_fault(self, name: str, camera: Camera) -> str:
        mask = self.known[name].mask
        if mask is not None and self.cameras[name].is_rectified:
            return "its images are rectified, the mask is drawn in the original ones; record those"
        return mask_misfit(mask, (camera.width, camera.height))

    def move(self) -> list[str]:
        """Place the cameras anew after a fixed transform changed; return those that moved."""
        before = self.now.rig
        self._place_anew(before.names)
        return [
            camera.name
            for camera in before.cameras
            if not np.allclose(self.now.rig[camera.name].T_base_camera, camera.T_base_camera, rtol=0, atol=SAME)
        ]

    @property
    def now(self) -> PlacedRig:
        """The calibration in force, which later changes do not alter."""
        if self._placed is None:
            placed = [self.placed(name) for name in self.cameras]
            order = list(self.known)
            ring = sorted(placed, key=lambda camera: order.index(camera.name)) if order else ring_order(placed)
            self._placed = PlacedRig(Rig(tuple(ring), self.base_frame), self.tree.snapshot())
        return self._placed

    def _place_anew(self, names: Collection[str]) -> None:
        # A camera that the tree no longer places stays where it was.
        rig, cameras = self.now.rig, list[Camera]()
        for camera in rig.cameras:
            try:
                cameras.append(self.placed(camera.name) if camera.name in names else camera)
            except FsmdeError:
                known = self.intrinsics.get(camera.name, camera)
                cameras.append(replace(known, T_base_camera=camera.T_base_camera))
        self._placed = PlacedRig(replace(rig, cameras=tuple(cameras)), self.tree.snapshot())

    def _mount(self, name: str) -> Matrix:
        try:
            return self.tree.lookup(self.base_frame, self.frame(name))
        except FsmdeError:
            if name not in self.known:
                raise
            return self.known[name].T_base_camera


def note_doubts(bag: Bag, calibration: BagCalibration, name: str) -> None:
    """Note a lens of a camera that turns back, and a mask that is not used.

    Args:
        bag: Receives the notes.
        calibration: In force.
        name: The camera.
    """
    if warning := lens_warning(calibration.placed(name)):
        bag.note_damage(f"lens of {name}", f"has a lens to be doubted: {warning}")
    if misfit := calibration.unused_mask(name):
        bag.note_damage(f"mask of {name}", f"has a camera '{name}' whose mask is not used: {misfit}")
