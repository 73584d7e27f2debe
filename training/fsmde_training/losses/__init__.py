"""Training losses, one per file: pure functions of tensors, all in float32."""

from fsmde_training.losses.gradient import log_gradient
from fsmde_training.losses.likelihood import bin_negative_log_likelihood
from fsmde_training.losses.relative import relative_error
from fsmde_training.losses.silog import silog

__all__ = ["bin_negative_log_likelihood", "log_gradient", "relative_error", "silog"]
