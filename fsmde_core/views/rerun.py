"""Shows what cameras and model see as a Rerun recording: images, depth, the fused cloud, lidar and the vehicle.

Rerun (rerun-sdk, the extra `view`) is imported when a scene is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.errors import FsmdeError
from fsmde_core.frames import Frame
from fsmde_core.images.colormap import sigma_rgb
from fsmde_core.images.encodings import RawImage
from fsmde_core.images.rectify import Preprocessor
from fsmde_core.messages.point_cloud import color_bits
from fsmde_core.pipeline.pipeline import DepthPipeline
from fsmde_core.rig.geometry import Matrix, invert
from fsmde_core.rig.rig import Camera

VEHICLE, LIDAR = "world/vehicle", "world/lidar"
CLOUD = f"{VEHICLE}/points"
TIMELINE, FRAMES = "stamp", "frame"
IMAGE_WIDTH = 640  # of the images shown
JPEG_QUALITY = 85
CLOUD_STRIDE = 2  # a quarter of the points looks the same and keeps a long recording in memory
COLORS = ("rgb", "sigma")
CLOUD_POINTS, LIDAR_POINTS = -2.0, -0.5  # radii; negative ones are pixels of the screen
LIDAR_COLOR = (255, 105, 255)  # in none of the colour maps, and rare on roads
DEPTH_RANGE_M = (2.0, 40.0)  # of the colours, which are linear in Rerun
FRUSTUM_M = 1.2


def load_rerun() -> Any:
    """Import Rerun; FsmdeError where it is not installed."""
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise FsmdeError(
            f"`fsmde view` needs Rerun ({error}); install it with `pip install 'fsmde_ros[view]'`"
        ) from error
    return rerun


class Scene:
    """Logs to a rerun.RecordingStream; what it logs carries the time that `set_time` was last called with.

    Entities: `world/vehicle` moves; below it each camera with its `image` and `depth` (a pinhole each, both without
    distortion) and the fused cloud `points`; `world/lidar`. `color` of the cloud is one of COLORS.
    """

    def __init__(self, stream: Any, color: str = "rgb") -> None:
        if color not in COLORS:
            raise FsmdeError(f"cloud colour '{color}' is unknown; use one of {list(COLORS)}")
        self._rr = load_rerun()
        self._stream = stream
        self._by_sigma = color == "sigma"
        self._pinholes: dict[str, tuple[Any, ...]] = {}
        self._stream.log("world", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def set_time(self, stamp_ns: int, frame: int | None = None) -> None:
        """Set the time of what is logged from now on.

        Args:
            stamp_ns: Nanoseconds.
            frame: Number of the frame; None leaves it as it is.
        """
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
        if frame is not None:
            self._stream.set_time(FRAMES, sequence=frame)

    def log_vehicle(self, T_world_base: Matrix) -> None:
        self._stream.log(VEHICLE, self._transform(T_world_base))

    def log_image(self, camera: Camera, image: RawImage) -> None:
        # Shown without distortion, IMAGE_WIDTH pixels wide at most.
        width = min(IMAGE_WIDTH, camera.width)
        shown = Preprocessor(width, max(1, round(camera.height * width / camera.width))).rectify(image, camera)
        self._log_pinhole(shown.camera, "image")
        self._stream.log(image_path(camera.name), self._rr.Image(shown.rgb).compress(JPEG_QUALITY))

    def log_depth(self, camera: Camera, depth: NDArray[np.float32]) -> None:
        """Show a depth image.

        Args:
            camera: Rectified, at the size of the depth.
            depth: (H, W) float32 metres, NaN for none.
        """
        self._log_pinhole(camera, "depth")
        picture = self._rr.DepthImage(depth, meter=1.0, colormap="spectral", depth_range=DEPTH_RANGE_M)
        self._stream.log(depth_path(camera.name), picture)

    def log_cloud(self, xyz: NDArray[np.float32], rgb: NDArray[np.float32] | None, sigma: NDArray[np.float32]) -> None:
        """Show the fused cloud.

        Args:
            xyz: (N, 3) metres in the base frame.
            rgb: (N,) float32 with the bits 0x00RRGGBB; with None the cloud is coloured by sigma.
            sigma: (N,) metres.
        """
        if self._by_sigma or rgb is None:
            colors: NDArray[Any] = sigma_rgb(sigma)
        else:
            colors = color_bits(rgb) << 8 | 0xFF
        self._stream.log(CLOUD, self._rr.Points3D(xyz, colors=colors, radii=CLOUD_POINTS))

    def log_lidar(self, xyz: NDArray[np.float32], T_world_lidar: Matrix) -> None:
        """Show a sweep.

        Args:
            xyz: (N, 3) metres in the frame of the sweep.
            T_world_lidar: Pose of that frame.
        """
        self._stream.log(LIDAR, self._transform(T_world_lidar))
        self._stream.log(LIDAR, self._rr.Points3D(xyz, colors=LIDAR_COLOR, radii=LIDAR_POINTS))

    def clear_camera(self, name: str) -> None:
        for path in (image_path(name), depth_path(name)):
            self._stream.log(path, self._rr.Clear(recursive=False))
        self._pinholes = {path: key for path, key in self._pinholes.items() if f"/{name}/" not in path}

    def _log_pinhole(self, camera: Camera, what: str) -> None:
        path = f"{camera_path(camera.name)}/{what}"
        key = (camera.K.tobytes(), camera.T_base_camera.tobytes(), camera.width, camera.height)
        if self._pinholes.get(path) == key:
            return
        self._pinholes[path] = key
        self._stream.log(camera_path(camera.name), self._transform(camera.T_base_camera))
        K = camera.K.copy()
        K[:2, 2] += 0.5  # Rerun's pixel centres are at halves
        size = (camera.width, camera.height)
        pinhole = self._rr.Pinhole(image_from_camera=K, resolution=size, image_plane_distance=FRUSTUM_M)
        self._stream.log(path, pinhole)

    def _transform(self, T: Matrix) -> Any:
        return self._rr.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3])


def camera_path(name: str) -> str:
    return f"{VEHICLE}/{name}"


def image_path(name: str) -> str:
    return f"{camera_path(name)}/image"


def depth_path(name: str) -> str:
    return f"{camera_path(name)}/depth"


def show_recording(frames: Iterable[Frame], pipeline: DepthPipeline[Any], scene: Scene) -> int:
    """Run the model on every frame and log all; the origin of the world is the first pose of the vehicle.

    Args:
        frames, pipeline, scene: What is shown, what predicts, and where to log.

    Returns:
        The number of frames.
    """
    packer = CloudPacker(CloudSettings(stride=CLOUD_STRIDE))
    T_origin_world: Matrix | None = None
    count = 0
    for frame in frames:
        count += 1
        newest = max(frame.images, key=lambda name: frame.images[name].stamp_ns)
        if T_origin_world is None:
            T_origin_world = invert(frame.T_world_base[newest])
        images = {name: RawImage.from_rgb(image.rgb()) for name, image in frame.images.items()}
        result = pipeline.run(images, frame.rig)
        scene.set_time(frame.stamp_ns, frame.index)
        scene.log_vehicle(T_origin_world @ frame.T_world_base[newest])
        for name in frame.rig.names:
            if name in images:
                scene.log_image(frame.rig[name], images[name])
            else:
                scene.clear_camera(name)
        for camera, depth in zip(result.cameras, result.depth, strict=True):
            scene.log_depth(camera, depth)
        records = packer.pack(result.cameras, result.rgb, result.depth, result.sigma).records()
        scene.log_cloud(records[:, :3], records[:, 3], records[:, 4])
        if frame.lidar is not None:
            scene.log_lidar(frame.lidar.points, T_origin_world @ frame.lidar.T_world_base)
    return count


def blueprint(names: tuple[str, ...], following: bool = False) -> Any:
    # Images above their depth, from left to right as around the vehicle, and the scene from behind. `names` are in ring
    # order; `following` is for the time of the newest data as they arrive.
    rrb = load_rerun().blueprint
    half = len(names) // 2 + 1
    row = names[half:] + names[:half]
    views = [rrb.Spatial2DView(origin=image_path(name), name=name) for name in row]
    depths = [rrb.Spatial2DView(origin=depth_path(name), name=f"{name} depth") for name in row]
    scene = rrb.Spatial3DView(
        origin=VEHICLE,
        name="Surroundings",
        contents=["+ world/**", *(f"- {depth_path(name)}/**" for name in names)],
        background=(20, 20, 24),
        line_grid=rrb.LineGrid3D(spacing=10.0, color=(90, 90, 90)),
        eye_controls=rrb.EyeControls3D(position=(-16.0, 0.0, 13.0), look_target=(5.0, 0.0, 0.0), eye_up=(0, 0, 1)),
    )
    return rrb.Blueprint(
        rrb.Vertical(rrb.Horizontal(*views), rrb.Horizontal(*depths), scene, row_shares=[1, 1, 3.5]),
        rrb.TimePanel(
            state="collapsed",
            timeline=TIMELINE if following else FRAMES,
            fps=None if following else 10.0,
            play_state="following" if following else "paused",
        ),
        rrb.SelectionPanel(state="hidden"),
        rrb.BlueprintPanel(state="hidden"),
        auto_views=False,
    )
