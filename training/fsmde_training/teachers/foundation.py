"""Makes teachers of foundation models through transformers: Depth Anything and its kin with a DPT neck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForDepthEstimation, PreTrainedModel
from transformers.image_processing_base import ImageProcessingMixin

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.decoder import Pyramid
from fsmde_training.teachers.base import STRIDES, Teacher, TeacherOutput, normalised, resize, student_size

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SUPPORTED = ("depth_anything", "dpt", "zoedepth")
HOW_TO_GET = (
    "give a folder that save_pretrained wrote, or get one with 'hf download depth-anything/Depth-Anything-V2-Small-hf'"
    " (Small is Apache-2.0; Base and Large are CC-BY-NC-4.0, not for commercial use)"
)


class FoundationTeacher(Teacher):
    """Wraps a depth model of transformers with a DPT neck (Ranftl et al., 2021) over a plain vision transformer.

    The pyramid is the neck's four fused maps, resampled to strides 4 to 32 (our choice; of Depth Anything they come at
    strides 1.75 to 14). Image sides are rounded to whole patches; DPT models with their own encoder take squares only.
    Not supported, with a clear error: models without that neck (GLPN, DepthPro and others) and with Swin backbones.
    mean, std: Per channel, of images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: PreTrainedModel, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__()
        config = network.config
        if config.model_type not in SUPPORTED:
            raise FsmdeError(f"teacher of type '{config.model_type}' is not supported; use {' or '.join(SUPPORTED)}")
        neck: Any = network.neck
        if neck.reassemble_stage is None:
            raise FsmdeError("a teacher on a Swin backbone is not supported; take one on a plain vision transformer")
        self.network: Any = network
        self.channels = (config.fusion_hidden_size,) * len(STRIDES)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    @classmethod
    def from_pretrained(cls, spec: str | Path) -> FoundationTeacher:
        """Load a checkpoint with its own colour normalisation (preprocessor_config.json), ImageNet's where it has none.

        Raises FsmdeError where `spec`, a folder or a hub name in the local cache, has no depth model.
        """
        try:
            network = AutoModelForDepthEstimation.from_pretrained(spec, local_files_only=True)
        except (OSError, ValueError) as error:
            raise FsmdeError(f"no depth model of transformers in '{spec}'; {HOW_TO_GET}") from error
        try:
            colours, _ = ImageProcessingMixin.get_image_processor_dict(spec, local_files_only=True)
        except OSError:
            colours = {}
        return cls(network, colours.get("image_mean", IMAGENET_MEAN), colours.get("image_std", IMAGENET_STD))

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        # Sides are rounded to the nearest whole patch.
        config = self.network.config
        backbone = config.backbone_config
        if backbone is None or getattr(config, "is_hybrid", False):
            return config.image_size, config.image_size
        patch = backbone.patch_size
        return max(round(height / patch), 1) * patch, max(round(width / patch), 1) * patch

    @property
    def predicts_depth(self) -> bool:
        """Whether the network's output is depth, not inverse depth. DPT on DINOv2 was published for depth only."""
        config = self.network.config
        on_dinov2 = getattr(config.backbone_config, "model_type", None) == "dinov2"
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        return metric or config.model_type == "zoedepth" or (config.model_type == "dpt" and on_dinov2)

    @torch.no_grad()
    def forward(self, images: Tensor, size: tuple[int, int] | None = None) -> TeacherOutput:
        height, width = student_size(images, size)
        x = resize(images.permute(0, 3, 1, 2).float() / 255, self.input_size(images.shape[1], images.shape[2]))
        fused: list[Tensor] = []
        # Every model hands the fused maps on to its head in its own way; the stage that makes them is the same in all.
        with self.network.neck.fusion_stage.register_forward_hook(lambda *call: fused.extend(call[-1])):
            predicted = self.network(pixel_values=(x - self.mean) / self.std).predicted_depth
        pyramid: Pyramid = tuple(
            resize(level.float(), (height // stride, width // stride))
            for level, stride in zip(reversed(fused), STRIDES, strict=True)
        )
        inverse = 1 / predicted.clamp_min(0.1) if self.predicts_depth else predicted
        return TeacherOutput(pyramid, normalised(resize(inverse[:, None].float(), (height // 4, width // 4))[:, 0]))
