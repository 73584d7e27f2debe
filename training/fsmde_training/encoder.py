"""The student's encoder: MobileNetV2 with fewer channels inside its blocks, which begins from its weights.

What is wide in MobileNetV2 is what lies between the convolutions of a block, and moving that to memory and back is most
of its time on a CPU. Here a block keeps half to two thirds of it, and the first convolution half of its channels: more
than half of those hardly reach its output. What a block hands on has MobileNetV2's channels, so that its weights fit.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fsmde_training.mobilenet_v2 import MobileNetV2, load_folded

STEM = 16
STAGES = (
    (1, 16, 1, 1),
    (4, 24, 1, 2),
    (3, 24, 1, 1),
    (3, 32, 3, 2),
    (3, 64, 1, 2),
    (4, 64, 3, 1),
    (4, 96, 3, 1),
    (3, 160, 3, 2),
    (3, 320, 1, 1),
)
"""As of MobileNetV2, which expands by 6."""


class SlimEncoder(MobileNetV2):
    """MobileNetV2 of these stages; images and maps as there."""

    def __init__(self) -> None:
        super().__init__(STEM, STAGES)
        self.features[1].shortcut = False  # type: ignore[assignment]  # MobileNetV2 has none there: its channels change

    def load_imagenet(self, path: str | Path) -> None:
        """Begin from what `fsmde_training.slim` made of ImageNet weights; FsmdeError when it is no such file."""
        load_folded(self, path, "the student's encoder; make them with 'python -m fsmde_training.slim'")

    @torch.no_grad()
    def cut_from(self, full: MobileNetV2) -> None:
        """Take the weights of `full`, of the channels inside each block those that weigh most.

        A start that `fsmde_training.slim` improves. The first convolution is to the second block as its expansion.
        """
        blocks = [(self.features[:2], full.features[:2])]
        blocks += list(zip(list(self.features)[2:], list(full.features)[2:], strict=True))
        for slim, block in blocks:
            expand, depthwise, project = convolutions(block)
            ours = convolutions(slim)
            kept = heaviest(depthwise, project, ours[1].out_channels)
            for layer, theirs in zip(ours, (expand, depthwise), strict=False):
                put(layer, theirs.weight[kept], bias_of(theirs)[kept])
            put(ours[2], project.weight[:, kept], bias_of(project))


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    """All convolutions in network order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def heaviest(depthwise: nn.Conv2d, project: nn.Conv2d, count: int) -> Tensor:
    """Indices (count,), increasing, of the channels that reach a block's output most, by the weights on their way."""
    weight = depthwise.weight.flatten(1).norm(dim=1) * project.weight[:, :, 0, 0].norm(dim=0)
    return weight.topk(count).indices.sort().values


def bias_of(layer: nn.Conv2d) -> Tensor:
    """The bias, which every convolution here has."""
    assert layer.bias is not None
    return layer.bias


def put(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Copy weight and bias into `layer`."""
    layer.weight.copy_(weight)
    bias_of(layer).copy_(bias)
