"""Holds depth as a distribution over bins: centres and probabilities from four feature maps."""

from fsmde_training.networks.binning.binning import Binning, Sharing, share_binning
from fsmde_training.networks.binning.distribution import BinDistribution
from fsmde_training.networks.binning.metric_depth import MetricDepthNetwork

__all__ = ["BinDistribution", "Binning", "MetricDepthNetwork", "Sharing", "share_binning"]
