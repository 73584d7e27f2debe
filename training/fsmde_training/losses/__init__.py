"""Training losses, one per file: pure functions of tensors, all in float32."""

from fsmde_training.losses.ckd_centres import ckd_centres
from fsmde_training.losses.ckd_probability import ckd_probability
from fsmde_training.losses.ckd_reverse import ckd_reverse
from fsmde_training.losses.depth_kd import depth_kd
from fsmde_training.losses.fitnets import fitnets
from fsmde_training.losses.gradient import log_gradient
from fsmde_training.losses.likelihood import bin_negative_log_likelihood
from fsmde_training.losses.relative import relative_error
from fsmde_training.losses.rkd import rkd
from fsmde_training.losses.silog import silog
from fsmde_training.losses.vrkd_affinity import vrkd_affinity
from fsmde_training.losses.vrkd_borders import vrkd_borders
from fsmde_training.losses.vrkd_relational import vrkd_relational

__all__ = [
    "bin_negative_log_likelihood",
    "ckd_centres",
    "ckd_probability",
    "ckd_reverse",
    "depth_kd",
    "fitnets",
    "log_gradient",
    "relative_error",
    "rkd",
    "silog",
    "vrkd_affinity",
    "vrkd_borders",
    "vrkd_relational",
]
