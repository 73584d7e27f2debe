"""Depth as a distribution over bins: centres and probabilities from four feature maps."""

from fsmde_training.binning.binning import Binning, Centres, Probabilities, Sharing, share
from fsmde_training.binning.distribution import BinDistribution
from fsmde_training.binning.metric import MetricNetwork

__all__ = ["BinDistribution", "Binning", "Centres", "MetricNetwork", "Probabilities", "Sharing", "share"]
