"""Describes cameras and the ring they form. YAML, CameraInfo messages and data sets all build these objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fsmde_core.errors import FsmdeError
from fsmde_core.paths import find_shared
from fsmde_core.rig.geometry import Matrix, is_rigid, quaternion_from_rotation, rigid, rotation_from_quaternion
from fsmde_core.rig.lens import is_pinhole, standard_distortion
from fsmde_core.rig.mask import VehicleMask, mask_from_entry, mask_to_entry


@dataclass(frozen=True, eq=False)
class Camera:
    """Describes a camera by its intrinsics in pixels at `width` x `height`, and its pose in the vehicle.

    K: (3, 3) float64 pixels. D: coefficients of `distortion_model`, both brought to those of `standard_distortion`.
    T_base_camera: (4, 4) maps the optical frame (x right, y down, z forward, REP-103) to the base frame, metres.
    frame_id: the optical frame's name on /tf; `<name>_optical` unless given. mask: where the original image shows the
    own vehicle, None where it does not.
    """

    name: str
    width: int
    height: int
    K: NDArray[np.float64]
    T_base_camera: Matrix = field(default_factory=lambda: np.eye(4))
    distortion_model: str = "plumb_bob"
    D: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    frame_id: str = ""
    mask: VehicleMask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", np.asarray(self.K, dtype=np.float64).reshape(3, 3))
        object.__setattr__(self, "T_base_camera", np.asarray(self.T_base_camera, dtype=np.float64).reshape(4, 4))
        object.__setattr__(self, "frame_id", self.frame_id or f"{self.name}_optical")
        if fault := self._fault():
            raise FsmdeError(f"camera '{self.name}': {fault}")
        try:
            model, D = standard_distortion(self.distortion_model, self.D)
        except FsmdeError as error:
            raise FsmdeError(f"camera '{self.name}': {error}") from error
        object.__setattr__(self, "distortion_model", model)
        object.__setattr__(self, "D", D)

    def _fault(self) -> str | None:
        if self.width < 1 or self.height < 1:
            return f"size {self.width}x{self.height} must be at least 1x1 pixels"
        if not np.all(np.isfinite(self.K)) or self.fx <= 0 or self.K[1, 1] <= 0:
            return f"fx and fy must be positive, K is {self.K.ravel().tolist()}"
        if self.K[0, 1] or self.K[1, 0] or not np.array_equal(self.K[2], [0, 0, 1]):
            return f"K must be [fx 0 cx, 0 fy cy, 0 0 1], is {self.K.ravel().tolist()}"
        if not is_rigid(self.T_base_camera):
            return f"T_base_camera must be a rotation and a translation, is {self.T_base_camera.round(4).tolist()}"
        if self.mask is not None and self.mask.size != (self.width, self.height):
            width, height = self.mask.size
            return f"its mask is {width}x{height}, its image {self.width}x{self.height}; a mask has its camera's size"
        return None

    @property
    def fx(self) -> float:
        """Horizontal focal length in pixels."""
        return float(self.K[0, 0])

    @property
    def is_distorted(self) -> bool:
        """Whether the lens bends straight lines."""
        return not is_pinhole(self.distortion_model, self.D)

    @property
    def yaw(self) -> float:
        """Heading of the optical axis in the base frame, in radians counter-clockwise from forward."""
        axis = self.T_base_camera[:3, 2]
        return float(np.arctan2(axis[1], axis[0]))

    def rectified(self, width: int, height: int) -> Camera:
        """Describe the same view as a distortion-free pinhole of another size.

        Args:
            width, height: The size, pixels.

        Returns:
            A camera with the same name, pose and frame, without a mask: `rectify_maps` says where it shows nothing.
        """
        K = scale_intrinsics(self.K, width / self.width, height / self.height)
        return replace(self, width=width, height=height, K=K, D=np.zeros(0), distortion_model="plumb_bob", mask=None)


def scale_intrinsics(K: Matrix, sx: float, sy: float) -> Matrix:
    """Scale intrinsics to the same view in an image of another size.

    Args:
        K: (3, 3) intrinsics in pixels.
        sx, sy: New width / old width, new height / old height.

    Returns:
        (3, 3) intrinsics, a copy.
    """
    factors = np.array([sx, sy])
    K = K.copy()
    K[:2] *= factors[:, None]
    K[:2, 2] += 0.5 * factors - 0.5  # pixel centres are at integer coordinates
    return K


@dataclass(frozen=True, eq=False)
class Rig:
    """Holds cameras in ring order, clockwise seen from above (front, front_right, ...), and their base frame."""

    cameras: tuple[Camera, ...]
    base_frame: str = "base_link"

    def __post_init__(self) -> None:
        if not self.cameras:
            raise FsmdeError("a rig needs at least one camera")
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise FsmdeError(f"camera names in a rig must differ, found {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras, in ring order."""
        return tuple(camera.name for camera in self.cameras)

    def __getitem__(self, name: str) -> Camera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise FsmdeError(f"the rig has no camera '{name}', only {list(self.names)}")

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Neighbouring pairs of the ring, including the last with the first: none for one camera, one for two."""
        names = self.names
        if len(names) < 3:
            return (names,) if len(names) == 2 else ()  # type: ignore[return-value]
        return tuple(zip(names, names[1:] + names[:1], strict=True))


def ring_order(cameras: Iterable[Camera]) -> tuple[Camera, ...]:
    """Sort cameras clockwise seen from above, starting with the one that looks most nearly forward."""
    cameras = list(cameras)
    front = min(cameras, key=lambda camera: abs(camera.yaw))
    return tuple(sorted(cameras, key=lambda camera: (front.yaw - camera.yaw) % (2 * np.pi)))


class _UniqueKeys(yaml.SafeLoader):
    """Refuses YAML with a key twice: of two cameras with one name, plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise FsmdeError(f"'{key.value}' is there twice, the second time in line {line}; leave one out")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_rig(path: str | Path) -> Rig:
    """Read a rig file like config/rigs/*.yaml; `ring: auto` orders the cameras by yaw, else the file's order holds.

    Raises FsmdeError naming the file, the camera and the entry that is missing, malformed or unknown.
    """
    path = Path(path)
    try:
        return _rig_from_mapping(yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys), path.parent)
    except OSError as error:
        shipped = f"shipped rigs are {[str(file) for file in shipped_rigs().values()]}"
        raise FsmdeError(f"rig file {path} cannot be read: {error.strerror}; {shipped}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FsmdeError(f"rig file {path} is not YAML: {' '.join(str(error).split())}") from error
    except FsmdeError as error:
        raise FsmdeError(f"rig file {path}: {error}") from error


def save_rig(rig: Rig, path: str | Path) -> None:
    """Write a rig as YAML that `load_rig` reads back.

    Args:
        rig: The rig.
        path: The file, overwritten where it is there.
    """
    cameras = {camera.name: _camera_to_mapping(camera, Path(path).parent) for camera in rig.cameras}
    document = {"base_frame": rig.base_frame, "cameras": cameras}
    Path(path).write_text(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120))


def shipped_rigs() -> dict[str, Path]:
    """Find the rig files that come with the package, by name."""
    folder = find_shared("config/rigs")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def _rig_from_mapping(document: Any, folder: Path) -> Rig:
    _check_keys("the file", document, required=("cameras",), optional=("base_frame", "ring", "topics", "lidar"))
    entries, ring = document["cameras"], document.get("ring")
    if not isinstance(entries, dict):
        raise FsmdeError(f"'cameras' must map camera names to their calibration, found {entries!r}")
    if ring not in (None, "auto"):
        raise FsmdeError(f"'ring' is {ring!r}; write 'auto' to order the cameras by yaw, or leave it out")
    cameras = tuple(_camera_from_mapping(str(name), entry, folder) for name, entry in entries.items())
    return Rig(ring_order(cameras) if ring and cameras else cameras, str(document.get("base_frame", "base_link")))


def _camera_from_mapping(name: str, entry: Any, folder: Path) -> Camera:
    where = f"camera '{name}'"
    required = ("size", "intrinsics", "T_base_camera")
    _check_keys(where, entry, required, optional=("distortion_model", "D", "frame_id", "mask"))
    pose = entry["T_base_camera"]
    _check_keys(f"{where}: T_base_camera", pose, required=("translation", "rotation_wxyz"))
    width, height = _numbers(where, entry, "size", 2)
    if width % 1 or height % 1:
        raise FsmdeError(f"{where}: 'size' must be whole pixels, found {entry['size']}")
    fx, fy, cx, cy = _numbers(where, entry, "intrinsics", 4)
    quaternion = _numbers(where, pose, "rotation_wxyz", 4)
    try:
        rotation = rotation_from_quaternion(*quaternion)
    except FsmdeError as error:
        raise FsmdeError(f"{where}: {error}") from error
    camera = Camera(
        name=name,
        width=int(width),
        height=int(height),
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64),
        T_base_camera=rigid(rotation, _numbers(where, pose, "translation", 3)),
        distortion_model=str(entry.get("distortion_model", "plumb_bob")),
        D=_numbers(where, {"D": [], **entry}, "D"),
        frame_id=str(entry.get("frame_id") or ""),
    )
    mask = entry.get("mask")
    return (
        camera if mask is None else replace(camera, mask=mask_from_entry(mask, folder, name, (int(width), int(height))))
    )


def _check_keys(where: str, entry: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(entry, dict):
        raise FsmdeError(f"{where} must be a mapping with {list(required)}, found {entry!r}")
    missing = [key for key in required if key not in entry]
    unknown = [key for key in entry if key not in required + optional]
    if missing or unknown:
        fault = f"lacks {missing}" if missing else f"has unknown entries {unknown}"
        raise FsmdeError(f"{where} {fault}; it takes {list(required + optional)}")


def _numbers(where: str, entry: Mapping[str, Any], key: str, count: int | None = None) -> NDArray[np.float64]:
    values = entry[key]
    numeric = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    if not numeric or (count is not None and len(values) != count):
        size = f"{count} numbers" if count is not None else "numbers"
        raise FsmdeError(f"{where}: '{key}' must be a list of {size}, found {values!r}")
    return np.array(values, dtype=np.float64)


def _camera_to_mapping(camera: Camera, folder: Path) -> dict[str, Any]:
    K, T = camera.K, camera.T_base_camera
    mask = {} if camera.mask is None else {"mask": mask_to_entry(camera.mask, folder)}
    return {
        "size": [camera.width, camera.height],
        "intrinsics": [float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])],
        "distortion_model": camera.distortion_model,
        "D": camera.D.tolist(),
        "frame_id": camera.frame_id,
        "T_base_camera": {
            "translation": T[:3, 3].tolist(),
            "rotation_wxyz": list(quaternion_from_rotation(T[:3, :3])),
        },
        **mask,
    }
