"""Builds the student: one image in, depth and its uncertainty out, metric through the focal length."""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.networks.binning import BinDistribution, Binning, MetricDepthNetwork
from fsmde_training.networks.decoder import WIDTHS, Decoder, Pyramid
from fsmde_training.networks.mobilenet_v2 import MobileNetV2


class Student(MetricDepthNetwork):
    """Joins a MobileNetV2 encoder, a light decoder and a binning module to a model of fsmde_core.engines.model.

    focal_canonical: Pixels at the input's size.
    min_depth, max_depth: The range of the bins, metres at that focal length.
    """

    def __init__(
        self, focal_canonical: float = 300.0, min_depth: float = 0.5, max_depth: float = 250.0, bins: int = 64
    ) -> None:
        super().__init__(focal_canonical, min_depth, max_depth, bins)
        self.encoder = MobileNetV2()
        self.decoder = Decoder(self.encoder.channels)
        self.bins = Binning(WIDTHS, bins, min_depth, max_depth)

    def pyramid(self, images: Tensor) -> Pyramid:
        """Compute the decoder's maps, `WIDTHS` channels, of (B, H, W, 3) uint8 RGB; sizes are multiples of 32."""
        x = images.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1
        return self.decoder(self.encoder(x))

    def distribution(self, images: Tensor) -> BinDistribution:
        """Compute the bins at (H/4, W/4), canonical metres, of images as `pyramid` takes them."""
        return self.bins(self.pyramid(images))

    def forward(self, images: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the depth of images.

        Args:
            images: (B, H, W, 3) uint8 RGB, sizes multiples of 32.
            focal: (B,) float32 focal lengths, pixels.

        Returns:
            Depth and its standard deviation sigma, (B, H, W) float32 metres each.
        """
        return self.metric_depth(self.distribution(images), focal)
