"""A synthetic street: images with exact depth and lidar, drawn from a seed, ray cast in NumPy."""

from fsmde_core.sources.synthetic.source import SyntheticStreet as SyntheticStreet
from fsmde_core.sources.synthetic.source import street_rig as street_rig
