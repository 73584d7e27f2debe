"""Cross-interaction distillation (b): metric bin centres from the truth, under the teacher's probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.silog import silog


def ckd_centres(teacher_probabilities: Tensor, student_centres: Tensor, target: Tensor) -> Tensor:
    """(M, N) probabilities, (M, N) centres and (M,) depths in the same unit -> scalar. M = 0 gives 0.

    SILog, with its floor, of exp(sum_i p_i log c_i) against the target: the expectation of log depth, as the student is
    trained. Only the centres get a gradient. Our reading of the paper (Hwang et al. 2026): teacher probabilities guide
    the student to metric centres. FsmdeError where the shapes differ.
    """
    check_same(student_centres.shape, teacher_probabilities.shape, "centres and probabilities of the bins (M, N)")
    log_depth = (teacher_probabilities.detach().float() * torch.log(student_centres.float())).sum(-1)
    return silog(torch.exp(log_depth), target)
