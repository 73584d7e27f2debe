"""`fsmde view`: what is in the Rerun recording, read back with Rerun's own reader."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest

from fsmde_core.clouds.packer import CloudPacker, CloudSettings
from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.images.colormap import sigma_rgb
from fsmde_core.images.encodings import RawImage
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.rig.geometry import invert
from fsmde_core.rig.rig import save_rig
from fsmde_core.views.rerun import CLOUD_STRIDE, COLORS, Scene, load_rerun, show_recording
from fsmde_core.views.rerun_target import open_stream
from fsmde_ros.cli.commands.see.view import Color
from fsmde_ros.middleware.domain import claim_domain
from support.bags import write_bag
from support.rerun_file import read
from support.small_rig import SmallRig
from support.tiny_model import HEIGHT, WIDTH

chunk = pytest.importorskip("rerun.chunk", reason="rerun-sdk is in the extra `view`")
COMMAND = [sys.executable, "-c", "from fsmde_ros.cli.app import main; main()", "view"]
NAMES = ("front", "right", "back", "left")
MISSING = (2, "back")
FRAMES = 5


def view(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path) -> Iterator[CpuPipeline]:
    opened_pipeline = CpuPipeline(load_engine("onnxruntime", tiny_model, 1, 4), 1)
    yield opened_pipeline
    opened_pipeline.close()


def record(path: Path, pipeline: CpuPipeline, color: str = "rgb") -> Path:
    source = SmallRig(FRAMES, MISSING)
    with open_stream(source.rig.names, False, path, False) as (stream, _):
        assert show_recording(source.frames(), pipeline, Scene(stream, color)) == FRAMES
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, pipeline: CpuPipeline) -> dict[str, dict[int, Any]]:
    return read(record(tmp_path_factory.mktemp("view") / "small.rrd", pipeline))


def predicted(pipeline: CpuPipeline, index: int) -> tuple[Any, Any]:
    frame = next(SmallRig(FRAMES, MISSING).frames(index))
    images = {name: RawImage.from_rgb(image.rgb()) for name, image in frame.images.items()}
    return frame, pipeline.run(images, frame.rig)


def test_every_entity_has_its_rows(recorded: dict[str, dict[int, Any]]) -> None:
    every = set(range(FRAMES))
    for name in NAMES:
        seen = every - {2} if name == "back" else every
        assert set(recorded[f"/world/vehicle/{name}/image EncodedImage:blob"]) == seen
        assert set(recorded[f"/world/vehicle/{name}/depth DepthImage:buffer"]) == seen
    assert set(recorded["/world/vehicle/points Points3D:positions"]) == every
    assert set(recorded["/world/vehicle Transform3D:translation"]) == every
    assert set(recorded["/world/lidar Points3D:positions"]) == {0, 2, 4}  # every second frame has a sweep


def test_stamps_are_those_of_the_newest_image(tmp_path: Path, pipeline: CpuPipeline) -> None:
    stamps = set(read(record(tmp_path / "a.rrd", pipeline), "stamp")["/world/vehicle/points Points3D:positions"])
    assert stamps == {(1000 + 100 * index + 45) * 1_000_000 for index in range(FRAMES)}


def test_depth_is_the_models(recorded: dict[str, dict[int, Any]], pipeline: CpuPipeline) -> None:
    """Of every frame its own: the pipeline's buffers, which the next frame overwrites, are not what is kept."""
    for index in range(FRAMES):
        _, result = predicted(pipeline, index)
        for name, depth in zip(result.names, result.depth, strict=True):
            data = recorded[f"/world/vehicle/{name}/depth DepthImage:buffer"][index][0]
            np.testing.assert_array_equal(np.array(data, np.uint8).view(np.float32).reshape(HEIGHT, WIDTH), depth)


def test_cloud_is_the_fused_one_in_the_images_colours(
    recorded: dict[str, dict[int, Any]], pipeline: CpuPipeline
) -> None:
    for index in (0, FRAMES - 1):
        _, result = predicted(pipeline, index)
        packer = CloudPacker(CloudSettings(stride=CLOUD_STRIDE))
        records = packer.pack(result.cameras, result.rgb, result.depth, result.sigma).records()
        points = np.array(recorded["/world/vehicle/points Points3D:positions"][index], np.float32)
        np.testing.assert_array_equal(points, records[:, :3])
        colors = np.array(recorded["/world/vehicle/points Points3D:colors"][index], np.uint32)  # 0xRRGGBBAA
        np.testing.assert_array_equal(colors >> 8, np.ascontiguousarray(records[:, 3]).view(np.uint32))
        assert np.all(colors & 0xFF == 0xFF)


def test_cloud_by_sigma(tmp_path: Path, pipeline: CpuPipeline) -> None:
    colors = read(record(tmp_path / "sigma.rrd", pipeline, "sigma"))["/world/vehicle/points Points3D:colors"][1]
    _, result = predicted(pipeline, 1)
    packed = CloudPacker(CloudSettings(stride=2)).pack(result.cameras, result.rgb, result.depth, result.sigma)
    expected = sigma_rgb(packed.records()[:, 4]).astype(np.uint32)
    np.testing.assert_array_equal(
        np.array(colors, np.uint32) >> 8, expected[:, 0] << 16 | expected[:, 1] << 8 | expected[:, 2]
    )


def test_images_are_those_of_the_cameras(recorded: dict[str, dict[int, Any]]) -> None:
    for index, frame in enumerate(SmallRig(FRAMES, MISSING).frames()):
        blob = np.array(recorded["/world/vehicle/left/image EncodedImage:blob"][index][0], np.uint8)
        shown = cv2.imdecode(blob, cv2.IMREAD_GRAYSCALE)
        taken = cv2.cvtColor(frame.images["left"].rgb(), cv2.COLOR_RGB2GRAY)
        assert shown.shape == taken.shape
        assert np.corrcoef(shown.ravel(), taken.ravel())[0, 1] > 0.95  # JPEG keeps the brightness even of noise


def test_poses_start_at_the_origin_and_follow_the_vehicle(recorded: dict[str, dict[int, Any]]) -> None:
    frames = list(SmallRig(FRAMES, MISSING).frames())
    first = invert(frames[0].T_world_base["left"])  # left exposes last
    for index, frame in enumerate(frames):
        pose = first @ frame.T_world_base["left"]
        np.testing.assert_allclose(recorded["/world/vehicle Transform3D:translation"][index][0], pose[:3, 3], atol=1e-5)
        columns = recorded["/world/vehicle Transform3D:mat3x3"][index][0]  # Rerun's matrices are column by column
        np.testing.assert_allclose(np.reshape(columns, (3, 3)).T, pose[:3, :3], atol=1e-6)
    assert frames[4].lidar is not None
    sweep = first @ frames[4].lidar.T_world_base
    np.testing.assert_allclose(recorded["/world/lidar Transform3D:translation"][4][0], sweep[:3, 3], atol=1e-5)
    points = np.array(recorded["/world/lidar Points3D:positions"][4], np.float32)
    np.testing.assert_array_equal(points, frames[4].lidar.points)


def test_cameras_stand_where_the_rig_says(recorded: dict[str, dict[int, Any]]) -> None:
    camera = SmallRig().rig["right"]
    np.testing.assert_allclose(
        recorded["/world/vehicle/right Transform3D:translation"][0][0], camera.T_base_camera[:3, 3], atol=1e-6
    )
    K = np.reshape(recorded["/world/vehicle/right/depth Pinhole:image_from_camera"][0][0], (3, 3)).T
    scale = np.array([WIDTH / 32, HEIGHT / 20])
    np.testing.assert_allclose(K[[0, 1], [0, 1]], 30 * scale, rtol=1e-6)
    # The axis meets the image at (16, 10) of pixel centres at integers, (16.5, 10.5) from the corner.
    np.testing.assert_allclose(K[:2, 2], np.array([16.5, 10.5]) * scale, rtol=1e-6)


def test_pinholes_are_logged_when_they_change_only(recorded: dict[str, dict[int, Any]]) -> None:
    assert set(recorded["/world/vehicle/front/depth Pinhole:image_from_camera"]) == {0}
    # The camera that was missing in frame 2 was taken off the screen and comes back.
    assert set(recorded["/world/vehicle/back/depth Pinhole:image_from_camera"]) == {0, 3}
    assert set(recorded["/world/vehicle/back/image Clear:is_recursive"]) == {2}


def test_blueprint_has_two_rows_of_images_and_the_scene(tmp_path: Path, pipeline: CpuPipeline) -> None:
    reader = chunk.RrdReader(record(tmp_path / "b.rrd", pipeline))
    (layout,) = reader.blueprints()
    cells = defaultdict(list)
    for piece in reader.stream(store=layout).to_chunks():
        rows = piece.to_record_batch()
        for name in rows.schema.names:
            if name in ("ViewBlueprint:class_identifier", "ViewBlueprint:space_origin", "ContainerBlueprint:contents"):
                cells[name] += [value[0] if len(value) == 1 else value for value in rows.column(name).to_pylist()]
    assert sorted(cells["ViewBlueprint:class_identifier"]) == ["2D"] * 8 + ["3D"]
    origins = {f"/world/vehicle/{name}/{what}" for name in NAMES for what in ("image", "depth")} | {"/world/vehicle"}
    assert {"/" + origin.lstrip("/") for origin in cells["ViewBlueprint:space_origin"]} == origins
    assert sorted(len(contents) for contents in cells["ContainerBlueprint:contents"]) == [3, 4, 4]


def test_colors_of_the_command_are_those_of_the_scene() -> None:
    assert tuple(color.value for color in Color) == COLORS
    with pytest.raises(FsmdeError, match="colour 'range' is unknown"):
        Scene(None, "range")


def test_no_file_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match="broken"), open_stream(NAMES, False, tmp_path / "a.rrd", False):
        assert (tmp_path / "a.rrd").exists()
        raise FsmdeError("broken recording")
    assert not (tmp_path / "a.rrd").exists()


def test_without_rerun_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(FsmdeError, match=re.escape("pip install 'fsmde_ros[view]'")):
        load_rerun()


@pytest.fixture(scope="module")
def small_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "small", SmallRig(4), compressed=True)


def test_command_writes_a_recording_of_a_bag(tmp_path: Path, small_bag: Path, tiny_model: Path) -> None:
    path = tmp_path / "bag.rrd"
    result = view("--root", small_bag, "--model", tiny_model, "--frames", "1:3", "--save", path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"2 frames of small: {path}\n"
    assert set(read(path)["/world/vehicle/points Points3D:positions"]) == {1, 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--save", "no/such/folder/a.rrd"], "must name a file in an existing folder"),
        (["--save", "a.rrd", "--serve"], "exclude each other"),
        (["--live"], "--live needs --rig"),
        (["--live", "--rig", "pandaset", "--source", "synthetic"], "leave out what chooses one"),
        (["--live", "--rig", "/nowhere.yaml", "--save", "a.rrd"], "is '/nowhere.yaml', and no such file exists"),
        (["--root", "/nowhere", "--save", "a.rrd"], "/nowhere does not exist"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = view(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_screen_one_sentence(small_bag: Path, tiny_model: Path) -> None:
    result = view("--root", small_bag, "--model", tiny_model, DISPLAY="", WAYLAND_DISPLAY="")
    assert result.returncode == 2
    assert "no screen here" in result.stderr
    assert "--save" in result.stderr


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) != 0


@pytest.mark.skipif(not (is_free(9090) and is_free(9876)), reason="another Rerun viewer is running here")
def test_served_page(small_bag: Path, tiny_model: Path) -> None:
    command = [*COMMAND, "--root", str(small_bag), "--model", str(tiny_model), "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("4 frames of small: http://localhost:9090/?url=rerun")
            with urlopen("http://localhost:9090/", timeout=10) as page:
                assert b"<html" in page.read().lower()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def test_live_command_ends_in_order_with_its_file(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    rig, path = tmp_path / "rig.yaml", tmp_path / "live.rrd"
    save_rig(SmallRig().rig, rig)
    command = [*COMMAND, "--live", "--rig", str(rig), "--save", str(path)]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(claim_domain())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert chunk.RrdReader(path).recordings()
