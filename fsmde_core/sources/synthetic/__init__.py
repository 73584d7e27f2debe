"""Simulates drives along streets: images, exact depth and lidar, sampled from a seed and ray cast in NumPy."""

from fsmde_core.sources.synthetic.source import SyntheticStreet as SyntheticStreet
from fsmde_core.sources.synthetic.source import street_rig as street_rig
