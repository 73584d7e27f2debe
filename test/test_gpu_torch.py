"""The GPU backend in torch against the CPU's preprocessing and packing; on a GPU too with `make test-gpu`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.clouds import CloudPacker, CloudSettings, pinhole_geometry
from fsmde_core.encodings import ENCODINGS, EncodedImage, RawImage, to_rgb
from fsmde_core.errors import FsmdeError
from fsmde_core.geometry import rigid
from fsmde_core.gpu.pipeline import GpuPipeline, open_pipeline
from fsmde_core.gpu.sampling import sampling
from fsmde_core.model import read_model_info
from fsmde_core.pipeline import Pipeline
from fsmde_core.preprocess import Preprocessor, rectification
from fsmde_core.rig import Camera, Rig
from tiny_model import HEIGHT, WIDTH

torch = pytest.importorskip("torch")

from fsmde_core.engines.torch import Batch, TorchEngine  # noqa: E402
from fsmde_core.engines.torch_lane import Lane  # noqa: E402
from fsmde_core.gpu.torch_backend import TorchBackend  # noqa: E402
from fsmde_core.gpu.torch_color import planes  # noqa: E402
from fsmde_core.gpu.torch_packing import TorchPacking, first_per_voxel  # noqa: E402
from fsmde_core.gpu.torch_uploads import Uploads  # noqa: E402

LENSES = {
    "none": ("plumb_bob", []),
    "plumb_bob": ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, -0.02]),
    "pincushion": ("plumb_bob", [0.4, 0, 0, 0]),
    "rational_polynomial": ("rational_polynomial", [0.3, 0.05, 0.001, -0.001, 0.01, 0.5, 0.1, 0.02]),
    "equidistant": ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
}


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return torch.device(request.param)


def camera(name: str, width: int, height: int, lens: str = "none", yaw: float = 0.0) -> Camera:
    K = np.array([[0.7 * width, 0, 0.49 * width], [0, 0.7 * width, 0.52 * height], [0, 0, 1]])
    c, s = np.cos(yaw), np.sin(yaw)
    pose = rigid(np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]]), [c, s, 1.5])
    model, D = LENSES[lens]
    return Camera(name, width, height, K, pose, model, np.array(D))


RIG = Rig(
    (
        camera("front", 448, 256),
        camera("right", 450, 260, "plumb_bob", -1.6),
        camera("back", 640, 401, "pincushion", 3.1),
        camera("left", 112, 64, "none", 1.6),
    )
)


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2))


def pixels_of(encoding: str, width: int, height: int, seed: int = 0) -> np.ndarray:
    """(H, W, C) uint8 at random, smooth where colour is shared."""
    channels = ENCODINGS[encoding].channels
    return np.ascontiguousarray(np.concatenate([texture(width, height, seed)] * 2, axis=-1)[..., :channels])


# --- colour and sampling ---


@given(st.sampled_from(sorted(ENCODINGS)), st.integers(2, 30), st.integers(3, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_colour_is_that_of_opencv(encoding: str, half_width: int, height: int, seed: int) -> None:
    channels = ENCODINGS[encoding].channels
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 2 * half_width, channels), dtype=np.uint8)
    expected = to_rgb(pixels[..., 0] if channels == 1 else pixels, encoding)
    found = planes(torch.from_numpy(pixels), encoding).permute(1, 2, 0).numpy()
    # YUV's factors have three digits here and twenty bits there.
    np.testing.assert_allclose(found, expected, atol=1 if channels == 2 else 0)


def sampled(image: Any, source: Camera, size: tuple[int, int], device: Any) -> np.ndarray:
    way = rectification(source, source.rectified(*size))
    upload = Uploads(device).upload(image, sampling(way, image.width, image.height, False))
    upload.sampled.reached()
    return np.asarray(upload.rgb.cpu())


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("source", [(640, 400), (641, 401), (1601, 901), (112, 64)])
@pytest.mark.parametrize("target", [(160, 100), (112, 64)])
def test_sampling_follows_the_cpu(source: tuple[int, int], target: tuple[int, int], lens: str, device: Any) -> None:
    """Within 2 grey levels, and without a trend but that of the CPU's halves, which it rounds up at every step."""
    seen = camera("any", *source, lens)
    image = RawImage.from_rgb(texture(*source))
    expected = Preprocessor(*target).rectify(image, seen).rgb.astype(int)
    difference = sampled(image, seen, target, device) - expected
    assert np.abs(difference).max() <= 2 and -0.45 < difference.mean() < 0.2


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_encoding_and_step(encoding: str, device: Any) -> None:
    seen = camera("any", 300, 200, "plumb_bob")
    rows = pixels_of(encoding, 300, 200).reshape(200, -1)
    padded = np.pad(rows, ((0, 0), (0, 13)))
    image = RawImage(bytearray(padded.tobytes() + b"more"), encoding, 300, 200, padded.shape[1])
    expected = Preprocessor(112, 64).rectify(image, seen).rgb.astype(int)
    assert np.abs(sampled(image, seen, (112, 64), device) - expected).max() <= 2


# --- packing ---

OPEN = CloudSettings(0, 1000, 1)
SETTINGS = [
    CloudSettings(),
    CloudSettings(color=False),
    CloudSettings(2.0, 60.0, 0.4, stride=3),
    CloudSettings(0, 1e6, 1e6, stride=2, color=False),
    CloudSettings(voxel_size=2.0),
]


def depth_scene(cameras: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb, depth, sigma with a share of NaN, infinite, zero and negative values."""
    generator = np.random.default_rng(seed)
    shape = (cameras, height, width)
    depth = generator.uniform(0.5, 90, shape).astype(np.float32)
    sigma = (depth * generator.uniform(0.01, 0.6, shape)).astype(np.float32)
    for values in (depth, sigma):
        for bad in (np.nan, np.inf, -np.inf, 0.0, -1.0):
            values[generator.random(shape) < 0.03] = bad
    return generator.integers(0, 256, (*shape, 3), dtype=np.uint8), depth, sigma


@pytest.mark.parametrize("wanted", SETTINGS)
@pytest.mark.parametrize("count", [1, 3])
def test_packing_follows_the_cpu(wanted: CloudSettings, count: int, device: Any) -> None:
    """The same points in the same order, colours bit by bit; also where the batch has room for more cameras."""
    height, width = 21, 30
    cameras = [camera(str(i), width, height, yaw=i) for i in range(count)]
    rgb, depth, sigma = depth_scene(3, height, width, seed=count)
    depth[count:] = np.nan
    tensors = [torch.from_numpy(values).to(device) for values in (rgb, np.zeros(3, np.float32), depth, sigma)]
    lane = Lane(device)
    packing = TorchPacking(lane, Batch(*tensors), wanted)
    expected = CloudPacker(wanted).pack(cameras, rgb[:count], depth[:count], sigma[:count]).records()
    for _ in range(2):
        with lane.current():
            found = packing(*pinhole_geometry(cameras, wanted.stride)).cpu().numpy()
        assert found.shape == expected.shape and len(found) > 10
        np.testing.assert_allclose(found[:, :3], expected[:, :3], rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(found[:, 3:].view(np.uint32), expected[:, 3:].view(np.uint32))


def test_a_voxel_that_is_too_small_is_named(device: Any) -> None:
    records = torch.tensor([[100.0, 0, 0, 0]], device=device)
    assert len(first_per_voxel(records, 1e-3)) == 1
    with pytest.raises(FsmdeError, match="voxel_size is 1e-05 m, too small for points 100 m away"):
        first_per_voxel(records, 1e-5)


# --- the whole way ---


@pytest.fixture
def pipelines(device: Any, tiny_model: Path) -> Iterator[tuple[GpuPipeline, Pipeline]]:
    """On `device` through the backend, and on the CPU with the same engine's arithmetic."""
    info = read_model_info(tiny_model)
    engine = TorchEngine(info, 1, 4, device.type)
    ours, reference = GpuPipeline(engine, TorchBackend(engine), 2), Pipeline(TorchEngine(info, 1), 2)
    yield ours, reference
    ours.close()
    reference.close()


def raw(source: Camera, seed: int) -> RawImage:
    return RawImage.from_rgb(texture(source.width, source.height, seed))


@pytest.mark.parametrize("names", [RIG.names, ("back",), ("left", "front"), ("back", "right", "left")])
def test_depth_and_cloud_of_any_subset(pipelines: tuple[GpuPipeline, Pipeline], names: tuple[str, ...]) -> None:
    ours, reference = pipelines
    images = {name: raw(RIG[name], i) for i, name in enumerate(names)}
    wanted = replace(OPEN, stride=2)
    for _ in range(2):
        found, expected = ours.run(images, RIG), reference.run(images, RIG)
        assert found.names == expected.names and set(found.names) == set(names)
        assert np.abs(found.rgb.astype(int) - expected.rgb).max() <= 2
        # depth = (1 + mean grey) * fx / 100: two grey levels
        unit = np.array([c.fx for c in found.cameras], np.float32)[:, None, None] / 100
        np.testing.assert_array_equal(np.isnan(found.depth), np.isnan(expected.depth))
        np.testing.assert_allclose(found.depth / unit, expected.depth / unit, atol=2.01, rtol=1e-5)
        cloud = ours.pack(found, wanted)
        again = CloudPacker(wanted).pack(found.cameras, found.rgb, found.depth, found.sigma)
        assert cloud.fields == again.fields and len(cloud.data) == len(again.data) == 20 * cloud.count > 0
        np.testing.assert_allclose(cloud.records()[:, :3], again.records()[:, :3], rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(cloud.records()[:, 3:].view(np.uint32), again.records()[:, 3:].view(np.uint32))


def test_stage_times_are_there(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    result = pipelines[0].run({"front": raw(RIG["front"], 0), "left": raw(RIG["left"], 1)}, RIG)
    of_infer = {"preprocess", "infer", *(f"gpu_{stage}" for stage in ("upload", "sample", "infer", "download"))}
    assert set(result.stage_ms) == of_infer and min(result.stage_ms.values()) >= 0
    pipelines[0].pack(result, OPEN)
    assert set(result.stage_ms) == of_infer | {"gpu_pack", "gpu_cloud_down", "gpu_cloud_copied"}


def test_warm_up_and_more_cameras_than_expected(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    ours, _ = pipelines
    ours.warm_up(5)
    result = ours.run({"left": raw(RIG["left"], 0)}, RIG)
    assert result.depth.shape == (1, HEIGHT, WIDTH) and ours.pack(result, OPEN).count > 0


def test_a_jpeg_is_decoded_and_sampled(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    """Also where the decoder halves it: `front` is four times the network's size."""
    ours, reference = pipelines
    for name in ("front", "back"):
        data = cv2.imencode(".jpg", texture(RIG[name].width, RIG[name].height), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        image = EncodedImage(data.tobytes(), "jpeg")
        found, expected = ours.run({name: image}, RIG), reference.run({name: image}, RIG)
        assert np.abs(found.rgb.astype(int) - expected.rgb).max() <= 2


def test_changed_calibration_and_mounts(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    ours, reference = pipelines
    front, image = RIG["front"], raw(RIG["front"], 0)
    bent = replace(front, D=np.array([0.4, 0, 0, 0]))
    for source in (front, bent, front):
        found, expected = ours.run({"front": image}, Rig((source,))), reference.run({"front": image}, Rig((source,)))
        np.testing.assert_array_equal(np.isnan(found.depth), np.isnan(expected.depth))
        assert np.isnan(found.depth).any() == source.is_distorted
    taken = ours.rectify(image, front)
    before = ours.pack(ours.infer([taken]), OPEN).records()[:, :3].copy()
    moved = replace(front, T_base_camera=rigid(np.eye(3), [5, 0, 0]) @ front.T_base_camera)
    result = ours.infer([ours.placed(taken, moved)])
    np.testing.assert_allclose(ours.pack(result, OPEN).records()[:, :3] - before, [[5, 0, 0]] * len(before), atol=1e-4)


def test_images_come_from_several_threads_and_the_sender_reuses_his_memory(
    pipelines: tuple[GpuPipeline, Pipeline],
) -> None:
    ours, _ = pipelines

    def send(level: int) -> Any:
        memory = np.full((64, 112, 3), level, np.uint8)
        taken = ours.rectify(RawImage.from_rgb(memory), RIG["left"])
        memory[:] = 255
        return taken

    with ThreadPoolExecutor(4) as pool:
        for start in (0, 40, 80):
            taken = list(pool.map(send, range(start, start + 20)))
            for first in range(0, 20, 4):
                result = ours.infer(taken[first : first + 4])
                levels = result.rgb.reshape(4, -1)
                assert (levels == np.arange(start + first, start + first + 4)[:, None]).all()


def test_dropped_images_give_their_memory_back(device: Any) -> None:
    seen = camera("any", 112, 64)
    way = rectification(seen, seen.rectified(112, 64))
    uploads, image = Uploads(device), raw(seen, 0)
    held = uploads.upload(image, sampling(way, 112, 64, False))
    places = {uploads.upload(image, sampling(way, 112, 64, False)).rgb.data_ptr() for _ in range(10)}
    assert len(places) == 1 and held.rgb.data_ptr() not in places


def test_memory_of_a_calibration_goes_with_it(device: Any) -> None:
    uploads, image = Uploads(device), raw(camera("any", 112, 64), 0)
    way = rectification(camera("any", 112, 64), camera("any", 112, 64).rectified(112, 64))
    look_up = replace(sampling(way, 112, 64, False))
    uploads.upload(image, look_up)
    assert len(uploads._free) == 1
    del look_up
    gc.collect()
    assert not len(uploads._free)


def test_clouds_that_somebody_looks_at_are_left_alone(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    ours, _ = pipelines
    first = ours.pack(ours.run({"left": raw(RIG["left"], 0)}, RIG), OPEN).records()
    before = first.copy()
    images = {name: raw(RIG[name], 1) for name in ("left", "front")}
    second = ours.pack(ours.run(images, RIG), OPEN)
    np.testing.assert_array_equal(first, before)
    assert second.count == 2 * len(first) == 2 * WIDTH * HEIGHT


def test_the_pipeline_is_that_of_the_engine(tiny_model: Path) -> None:
    engine = TorchEngine(read_model_info(tiny_model))
    pipeline = open_pipeline(engine, 2)
    assert type(pipeline) is Pipeline
    engine.device = "some GPU"
    on_gpu = open_pipeline(engine, 2)
    assert type(on_gpu) is GpuPipeline
    on_gpu.close()


def test_bad_images_leave_the_pipeline_usable(pipelines: tuple[GpuPipeline, Pipeline]) -> None:
    ours, _ = pipelines
    small = RawImage.from_rgb(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(FsmdeError, match="calibration is for 448x256"):
        ours.run({"front": small, "left": raw(RIG["left"], 0)}, RIG)
    with pytest.raises(FsmdeError, match=r"\['rear'\]"):
        ours.run({"rear": small}, RIG)
    assert ours.run({"left": raw(RIG["left"], 0)}, RIG).depth.shape[0] == 1
