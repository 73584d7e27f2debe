"""Holds cross-interaction distillation (CKD) after Hwang et al. (RA-L 2026).

By its abstract, the paper distils the scale-invariant bin probabilities of a foundation model and guides the student to
metric bin centres by ground truth. Its formulas were not available: both losses are our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.losses.comparison import check_same, softmax_divergence
from fsmde_training.losses.supervised import silog


def ckd_probability(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Compare bin probabilities, which know nothing of metric scale: CKD (a).

    That probabilities are distilled is the paper's idea; the divergence is our choice. Its factor temperature^2 keeps
    the gradient's size over temperatures (Hinton et al. 2015).

    Args:
        student_logits, teacher_logits: (M, N) logits over the bins; the teacher's get no gradient.
        temperature: Divides both logits.

    Returns:
        A scalar, temperature^2 * mean KL(teacher || student); 0 for M = 0.

    Raises:
        FsmdeError: The shapes differ.
    """
    check_same(student_logits.shape, teacher_logits.shape, "bin logits (M, N)")
    if student_logits.numel() == 0:
        return student_logits.float().sum() * 0
    return temperature**2 * softmax_divergence(student_logits, teacher_logits, temperature)


def ckd_centres(teacher_probabilities: Tensor, student_centres: Tensor, target: Tensor) -> Tensor:
    """Compare the depth of the student's centres under the teacher's probabilities with the truth: CKD (b).

    That ground truth guides the student to metric centres is the paper's idea; that the teacher's probabilities weigh
    them is our reading, and the formula our choice: SILog, with its floor, of exp(sum_i p_i log c_i), the expectation
    of log depth, as the student is trained.

    Args:
        teacher_probabilities: (M, N) bin probabilities, without gradient.
        student_centres: (M, N) bin centres in the unit of the target.
        target: (M,) true depths.

    Returns:
        A scalar; 0 for M = 0.

    Raises:
        FsmdeError: The shapes of probabilities and centres differ.
    """
    check_same(student_centres.shape, teacher_probabilities.shape, "centres and probabilities of the bins (M, N)")
    log_depth = (teacher_probabilities.detach().float() * torch.log(student_centres.float())).sum(-1)
    return silog(torch.exp(log_depth), target)
