"""Depth as a distribution over bins: centres and probabilities from four feature maps."""

from fsmde_training.networks.binning.binning import Binning, Centres, Probabilities, Sharing, share_binning
from fsmde_training.networks.binning.distribution import BinDistribution
from fsmde_training.networks.binning.metric import MetricNetwork

__all__ = ["BinDistribution", "Binning", "Centres", "MetricNetwork", "Probabilities", "Sharing", "share_binning"]
