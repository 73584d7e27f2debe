"""Cross-interaction distillation (a): the teacher's bin probabilities, which know nothing of metric scale."""

from __future__ import annotations

from torch import Tensor

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.divergence import softmax_divergence


def ckd_probability(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits over the bins, (M, N) each -> scalar: temperature^2 * mean KL(teacher || student). M = 0 gives 0.

    The factor keeps the gradient's size over temperatures (Hinton et al. 2015). The formula is our choice: the paper
    (Hwang et al. 2026) tells that probabilities are distilled, not how. The teacher gets no gradient. FsmdeError where
    the shapes differ.
    """
    check_same(student_logits.shape, teacher_logits.shape, "bin logits (M, N)")
    if student_logits.numel() == 0:
        return student_logits.float().sum() * 0
    return temperature**2 * softmax_divergence(student_logits, teacher_logits, temperature)
