"""The student: one image in, depth and its uncertainty out, metric through the focal length."""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.networks.binning import BinDistribution, Binning, Centres, MetricNetwork, Probabilities
from fsmde_training.networks.decoder import WIDTHS, Decoder, Pyramid, upsample
from fsmde_training.networks.mobilenet_v2 import MobileNetV2


class Student(MetricNetwork):
    """MobileNetV2 encoder, light decoder, binning module; the model contract of fsmde_core.engines.model.

    focal_canonical: pixels at the input's size. min_depth, max_depth: range of the bins, metres at that focal length.
    centres, probabilities: see `Binning`.
    """

    def __init__(
        self,
        focal_canonical: float = 300.0,
        min_depth: float = 0.5,
        max_depth: float = 250.0,
        bins: int = 64,
        centres: Centres = "widths",
        probabilities: Probabilities = "softmax",
    ) -> None:
        super().__init__(focal_canonical, min_depth, max_depth, bins, centres, probabilities)
        self.encoder = MobileNetV2()
        self.decoder = Decoder(self.encoder.channels)
        self.bins = Binning(WIDTHS, bins, min_depth, max_depth, centres, probabilities)

    def pyramid(self, images: Tensor) -> Pyramid:
        """images: (B, H, W, 3) uint8 RGB, sizes multiples of 32 -> decoder maps, `WIDTHS` channels, fine to coarse."""
        x = images.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1
        return self.decoder(self.encoder(x))

    def distribution(self, images: Tensor) -> BinDistribution:
        """images as for `pyramid` -> bins at (H/4, W/4), canonical metres."""
        return self.bins(self.pyramid(images))

    def forward(self, images: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, H, W, 3) uint8; focal: (B,) float32 pixels -> depth, sigma: (B, H, W) float32 metres."""
        depth, sigma = self.distribution(images).moments()
        scale = (focal / self.focal_canonical)[:, None, None]
        return upsample(depth * scale), upsample(sigma * scale)
