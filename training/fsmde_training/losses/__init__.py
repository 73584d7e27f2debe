"""Holds the training losses: pure functions of tensors, all in float32."""

from fsmde_training.losses.baselines import depth_kd, fitnets, rkd
from fsmde_training.losses.cross_interaction import ckd_centres, ckd_probability
from fsmde_training.losses.supervised import bin_negative_log_likelihood, log_gradient, relative_error, silog
from fsmde_training.losses.view_relational import vrkd_affinity

__all__ = [
    "bin_negative_log_likelihood",
    "ckd_centres",
    "ckd_probability",
    "depth_kd",
    "fitnets",
    "log_gradient",
    "relative_error",
    "rkd",
    "silog",
    "vrkd_affinity",
]
