"""Colour, sampling, uploads and packing in torch against the CPU's; on a GPU too with `make test-gpu`."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmde_core.clouds.packer import CloudPacker, CloudSettings, pinhole_geometry
from fsmde_core.errors import FsmdeError
from fsmde_core.images.encodings import ENCODINGS, PixelLayout, RawImage, to_rgb
from fsmde_core.images.rectify import Preprocessor, rectify_maps
from fsmde_core.pipeline.gpu.sampling import sampling_from_maps
from fsmde_core.rig.rig import Camera
from support.depth_scenes import depth_scene

torch = pytest.importorskip("torch")

from fsmde_core.engines.torch.engine import DeviceBatch
from fsmde_core.engines.torch.stream import DeviceStream
from fsmde_core.pipeline.gpu.torch.color import rgb_planes
from fsmde_core.pipeline.gpu.torch.packing import TorchPacker, _first_per_voxel
from fsmde_core.pipeline.gpu.torch.uploads import TorchUploader
from support.gpu_cases import DEVICES, LENSES, camera, raw, texture, torch_device

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Any:
    return torch_device(request.param)


def pixels_of(encoding: str, width: int, height: int, seed: int = 0) -> np.ndarray:
    """(rows, W, C) uint8 at random, smooth where colour is shared."""
    channels, rows = ENCODINGS[encoding].channels, ENCODINGS[encoding].rows(height)
    return np.ascontiguousarray(np.concatenate([texture(width, rows, seed)] * 2, axis=-1)[..., :channels])


@given(st.sampled_from(sorted(ENCODINGS)), st.integers(2, 30), st.integers(3, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_colour_is_that_of_opencv(encoding: str, half_width: int, height: int, seed: int) -> None:
    channels, rows = ENCODINGS[encoding].channels, ENCODINGS[encoding].rows(2 * height)
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, 2 * half_width, channels), dtype=np.uint8)
    expected = to_rgb(pixels[..., 0] if channels == 1 else pixels, encoding)
    found = rgb_planes(torch.from_numpy(pixels), encoding).permute(1, 2, 0).numpy()
    # YUV's factors have three digits here and twenty bits there.
    is_yuv = ENCODINGS[encoding].layout in (PixelLayout.YUV422, PixelLayout.YUV420)
    np.testing.assert_allclose(found, expected, atol=1 if is_yuv else 0)


def sampled(image: Any, source: Camera, size: tuple[int, int], device: Any) -> np.ndarray:
    way = rectify_maps(source, source.rectified(*size))
    upload = TorchUploader(device).upload(image, sampling_from_maps(way, image.width, image.height, False))
    upload.buffer.sampled.synchronize()
    return np.asarray(upload.buffer.rgb.cpu())


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
    pixels = pixels_of(encoding, 300, 200)
    rows = pixels.reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, 13)))
    image = RawImage(bytearray(padded.tobytes() + b"more"), encoding, 300, 200, padded.shape[1])
    expected = Preprocessor(112, 64).rectify(image, seen).rgb.astype(int)
    assert np.abs(sampled(image, seen, (112, 64), device) - expected).max() <= 2


def test_dropped_images_give_their_memory_back(device: Any) -> None:
    seen = camera("any", 112, 64)
    way = rectify_maps(seen, seen.rectified(112, 64))
    uploads, image = TorchUploader(device), raw(seen, 0)
    held = uploads.upload(image, sampling_from_maps(way, 112, 64, False))
    places = {uploads.upload(image, sampling_from_maps(way, 112, 64, False)).buffer.rgb.data_ptr() for _ in range(10)}
    assert len(places) == 1 and held.buffer.rgb.data_ptr() not in places


def test_memory_of_a_calibration_goes_with_it(device: Any) -> None:
    uploads, image = TorchUploader(device), raw(camera("any", 112, 64), 0)
    way = rectify_maps(camera("any", 112, 64), camera("any", 112, 64).rectified(112, 64))
    look_up = replace(sampling_from_maps(way, 112, 64, False))
    uploads.upload(image, look_up)
    assert len(uploads._pools) == 1
    del look_up
    gc.collect()
    assert not len(uploads._pools)


SETTINGS = [
    CloudSettings(),
    CloudSettings(color=False),
    CloudSettings(2.0, 60.0, 0.4, stride=3),
    CloudSettings(0, 1e6, 1e6, stride=2, color=False),
    CloudSettings(voxel_size=2.0),
]


@pytest.mark.parametrize("wanted", SETTINGS)
@pytest.mark.parametrize("count", [1, 3])
def test_packing_follows_the_cpu(wanted: CloudSettings, count: int, device: Any) -> None:
    """The same points in the same order, colours bit by bit; also where the batch has room for more cameras."""
    height, width = 21, 30
    cameras = [camera(str(i), width, height, yaw=i) for i in range(count)]
    rgb, depth, sigma = depth_scene(3, height, width, seed=count)
    depth[count:] = np.nan
    tensors = [torch.from_numpy(values).to(device) for values in (rgb, np.zeros(3, np.float32), depth, sigma)]
    stream = DeviceStream(device)
    with stream.as_current():
        packer = TorchPacker(stream, DeviceBatch(*tensors), wanted)
    expected = CloudPacker(wanted).pack(cameras, rgb[:count], depth[:count], sigma[:count]).records()
    for _ in range(2):
        with stream.as_current():
            found = packer.pack(*pinhole_geometry(tuple(cameras), wanted.stride)).cpu().numpy()
        assert found.shape == expected.shape and len(found) > 10
        np.testing.assert_allclose(found[:, :3], expected[:, :3], rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(found[:, 3:].view(np.uint32), expected[:, 3:].view(np.uint32))


def test_a_voxel_that_is_too_small_is_named(device: Any) -> None:
    records = torch.tensor([[100.0, 0, 0, 0]], device=device)
    assert len(_first_per_voxel(records, 1e-3)) == 1
    with pytest.raises(FsmdeError, match="voxel_size is 1e-05 m, too small for points up to 100 m away"):
        _first_per_voxel(records, 1e-5)
