"""Teachers: one interface over foundation models and our own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    GLPNConfig,
    GLPNForDepthEstimation,
    PreTrainedModel,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.student import Student
from fsmde_training.teachers import ProjectTeacher, Teacher, load_teacher
from fsmde_training.teachers.base import normalised
from fsmde_training.teachers.foundation import IMAGENET_MEAN, IMAGENET_STD, FoundationTeacher
from support.tiny_teachers import NECK, depth_anything, tiny_backbone

SIZE = (64, 96)
NARROW = (8, 8, 12, 16, 16)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def dpt(backbone: Dinov2Config | None = None) -> DPTForDepthEstimation:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    config = DPTConfig(
        backbone_config=backbone, image_size=64, patch_size=16, backbone_out_indices=[0, 1, 2, 3], **sizes, **NECK
    )
    return DPTForDepthEstimation(config).eval()


def zoedepth() -> ZoeDepthForDepthEstimation:
    torch.manual_seed(0)
    heads = {"bottleneck_features": 12, "bin_embedding_dim": 8, "num_relative_features": 8}
    return ZoeDepthForDepthEstimation(ZoeDepthConfig(backbone_config=tiny_backbone(), **heads, **NECK)).eval()


def assert_output_of(teacher: Teacher, images: torch.Tensor, size: tuple[int, int]) -> None:
    output = teacher(images, size)
    assert [tuple(level.shape) for level in output.pyramid] == [
        (len(images), channels, size[0] // stride, size[1] // stride)
        for channels, stride in zip(teacher.channels, (4, 8, 16, 32), strict=True)
    ]
    assert output.relative.shape == (len(images), size[0] // 4, size[1] // 4)
    for value in (*output.pyramid, output.relative):
        assert value.dtype == torch.float32
        assert value.isfinite().all()


@pytest.mark.parametrize(
    "network",
    [depth_anything(), depth_anything("metric"), dpt(), dpt(tiny_backbone()), zoedepth()],
    ids=["depth_anything", "metric", "dpt", "dpt_dinov2", "zoedepth"],
)
def test_foundation_models_give_strides_4_to_32(network: PreTrainedModel, images: torch.Tensor) -> None:
    teacher = FoundationTeacher(network)
    assert_output_of(teacher, images, SIZE)
    assert_output_of(teacher, images, (32, 64))  # the teacher sees more than the student


def test_depth_anything_is_asked_as_its_authors_do(images: torch.Tensor) -> None:
    """Against the model itself: whole patches, ImageNet's colours, output as it is up to scale and shift."""
    network = depth_anything()
    teacher = FoundationTeacher(network)
    assert teacher.input_size(*SIZE) == (70, 98)
    assert teacher.input_size(384, 640) == (378, 644)
    assert teacher.input_size(352, 640) == (350, 644)
    x = F.interpolate(images.permute(0, 3, 1, 2) / 255, (70, 98), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        x = (x - mean) / std
        fused = network.neck(network.backbone(x).feature_maps, 5, 7)
        depth = network(x).predicted_depth[:, None]
    output = teacher(images)
    for level, expected in zip(output.pyramid, fused[::-1], strict=True):
        expected = F.interpolate(expected, level.shape[2:], mode="bilinear", antialias=True)
        torch.testing.assert_close(level, expected)
    expected = F.interpolate(depth, (16, 24), mode="bilinear", antialias=True)[:, 0]
    for relative, raw in zip(output.relative, expected, strict=True):
        correlation = torch.corrcoef(torch.stack([relative.flatten(), raw.flatten()]))[0, 1]
        torch.testing.assert_close(correlation, torch.tensor(1.0))


def test_metric_models_are_turned_into_inverse_depth(images: torch.Tensor) -> None:
    network = depth_anything("metric")
    network.head.conv3.weight.data *= 1e5  # untrained, its depth would hardly vary
    teacher = FoundationTeacher(network)
    x = F.interpolate(images.permute(0, 3, 1, 2) / 255, (70, 98), mode="bilinear", antialias=True)
    with torch.no_grad():
        depth = teacher.network((x - teacher.mean) / teacher.std).predicted_depth
    inverse = F.interpolate(1 / depth[:, None], (16, 24), mode="bilinear", antialias=True)[:, 0]
    for relative, expected in zip(teacher(images).relative, inverse, strict=True):
        correlation = torch.corrcoef(torch.stack([relative.flatten(), expected.flatten()]))[0, 1]
        torch.testing.assert_close(correlation, torch.tensor(1.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("network", "depth"), [(dpt(), False), (dpt(tiny_backbone()), True), (zoedepth(), True), (depth_anything(), False)]
)
def test_what_the_output_means_follows_from_the_model(network: PreTrainedModel, depth: bool) -> None:
    assert FoundationTeacher(network).predicts_depth == depth


def test_checkpoint_folders_load_with_their_own_colours(tmp_path: Path, images: torch.Tensor) -> None:
    network = depth_anything()
    network.save_pretrained(tmp_path)
    teacher = load_teacher(tmp_path)
    torch.testing.assert_close(teacher(images), FoundationTeacher(network)(images))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    assert load_teacher(str(tmp_path)).mean.flatten().tolist() == [0.5, 0.5, 0.5]  # type: ignore[union-attr]


def test_what_cannot_teach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"hf download depth-anything/.*Apache-2\.0.*CC-BY-NC-4\.0"):
        load_teacher(tmp_path / "nothing")
    with pytest.raises(FsmdeError, match="no depth model"):
        load_teacher("depth-anything/no-such-model-anywhere")
    with pytest.raises(FsmdeError, match=r"none\.ckpt does not exist"):
        load_teacher(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}, "hyper_parameters": {}}, tmp_path / "other.ckpt")
    with pytest.raises(FsmdeError, match="holds no teacher"):
        load_teacher(tmp_path / "other.ckpt")
    glpn = GLPNConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8
    )
    with pytest.raises(FsmdeError, match="type 'glpn' is not supported"):
        FoundationTeacher(GLPNForDepthEstimation(glpn))


@pytest.fixture(scope="module")
def project() -> ProjectTeacher:
    torch.manual_seed(0)
    return ProjectTeacher(NARROW).eval()


def test_the_project_teacher_gives_strides_of_the_students_image(project: ProjectTeacher, images: torch.Tensor) -> None:
    assert_output_of(project, images, SIZE)
    large = torch.randint(0, 256, (1, 128, 192, 3), dtype=torch.uint8)
    assert_output_of(project, large, SIZE)
    with pytest.raises(FsmdeError, match="96x60; width and height must be multiples of 32"):
        project(images[:, :60])


def test_its_relative_depth_is_that_of_its_metric_head(project: ProjectTeacher) -> None:
    """An image given at twice the student's size is what the head was trained on: nothing is resampled."""
    large = torch.randint(0, 256, (1, 128, 192, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    depth = project.canonical_depth(large)
    assert depth.shape == (1, 128, 192)
    assert (depth > project.min_depth).all()
    assert (depth < project.max_depth).all()
    inverse = F.interpolate(1 / depth[:, None], (16, 24), mode="area")[:, 0]
    relative = project(large, SIZE).relative
    assert torch.corrcoef(torch.stack([relative.flatten(), inverse.flatten()]))[0, 1] > 0.9


def test_a_frozen_teacher_stays_in_evaluation_mode() -> None:
    teacher = ProjectTeacher(NARROW).freeze()
    module = torch.nn.ModuleList([teacher]).train()
    assert module.training
    assert not any(part.training for part in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert ProjectTeacher(NARROW).train().blocks.training


def test_the_teacher_is_larger_than_the_student_as_its_docstring_says() -> None:
    image = torch.zeros(1, 128, 224, 3, dtype=torch.uint8)
    student, teacher = Student().eval(), ProjectTeacher().eval()

    def operations(network: torch.nn.Module, *inputs: torch.Tensor) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(*inputs)
        return counter.get_total_flops()

    def parameters(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert operations(teacher, image) / operations(student, image, torch.ones(1)) == pytest.approx(12, rel=0.08)
    assert parameters(teacher) / parameters(student) == pytest.approx(3, rel=0.08)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5), seed=st.integers(0, 99))
def test_no_metric_scale_passes_the_normalisation(scale: float, shift: float, seed: int) -> None:
    inverse = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = normalised(inverse)
    torch.testing.assert_close(normalised(scale * (inverse + shift)), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(expected.flatten(1).abs().mean(1), torch.ones(2))
    assert (normalised(torch.full((1, 4, 4), scale)) == 0).all()
