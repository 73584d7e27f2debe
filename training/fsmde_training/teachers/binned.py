"""Puts a binning module on a teacher's features: so a foundation model has bin probabilities to distil."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fsmde_core.errors import FsmdeError
from fsmde_training.networks.binning import BinDistribution, Binning, MetricDepthNetwork
from fsmde_training.networks.checkpoint import load_network
from fsmde_training.networks.decoder import WIDTHS, Pyramid


def _adapter(inputs: int, outputs: int) -> nn.Sequential:
    # Normalised over the whole map: no batch statistics, so that frozen means frozen.
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.GroupNorm(1, outputs), nn.ReLU())


class BinnedTeacher(MetricDepthNetwork):
    """Adapts the teacher's channels to the student's and applies the student's binning module.

    channels: Of the teacher's pyramid, fine to coarse. The other arguments are as of `Student` and have to be the
    student's for its bins to be compared with these.
    """

    def __init__(
        self,
        channels: Sequence[int],
        focal_canonical: float = 300.0,
        min_depth: float = 0.5,
        max_depth: float = 250.0,
        bins: int = 64,
    ) -> None:
        super().__init__(focal_canonical, min_depth, max_depth, bins)
        self.channels = tuple(channels)
        self.architecture["channels"] = self.channels
        self.adapters = nn.ModuleList(_adapter(c, w) for c, w in zip(channels, WIDTHS, strict=True))
        self.binning = Binning(WIDTHS, bins, min_depth, max_depth)

    def adapted(self, pyramid: Sequence[Tensor]) -> Pyramid:
        """Convert the teacher's maps to `WIDTHS` channels. Raises FsmdeError where they do not have `channels`.

        Bins read the finest and the coarsest only: the other two adapters stay untrained.
        """
        found = tuple(level.shape[1] for level in pyramid)
        if found != self.channels:
            raise FsmdeError(
                f"the teacher's maps have {found} channels, the binned teacher expects {self.channels}; "
                "fit it to this teacher with fsmde_training.distill.stage0"
            )
        return tuple(adapter(level) for adapter, level in zip(self.adapters, pyramid, strict=True))

    def distribution(self, pyramid: Sequence[Tensor]) -> BinDistribution:
        """Compute bins at stride 4, canonical metres, of the teacher's maps."""
        return self.binning(self.adapted(pyramid))


def save_binned_teacher(binned: BinnedTeacher, path: Path) -> None:
    """Write weights and architecture to one file in the layout of checkpoints, for `load_binned_teacher`.

    Args:
        binned: The fitted teacher.
        path: A .pt file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"binned.{name}": value for name, value in binned.state_dict().items()}
    torch.save({"hyper_parameters": {"architecture": binned.architecture}, "state_dict": weights}, path)


def load_binned_teacher(path: Path) -> BinnedTeacher:
    """Load what `save_binned_teacher` wrote, frozen. Raises FsmdeError where it is not there or something else."""
    return load_network(BinnedTeacher, path, "binned", "fsmde_training.distill.stage0").requires_grad_(False).eval()
