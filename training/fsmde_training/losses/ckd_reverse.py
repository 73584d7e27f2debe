"""Cross-interaction distillation (c): the reverse of (b), student probabilities under the teacher's centres."""

from __future__ import annotations

import torch
from torch import Tensor

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.silog import silog


def ckd_reverse(student_probabilities: Tensor, teacher_centres: Tensor, target: Tensor) -> Tensor:
    """(M, N) probabilities, (M, N) centres and (M,) depths in the same unit -> scalar. M = 0 gives 0.

    SILog, with its floor, of exp(sum_i p_i log c_i) against the target. Only the student's probabilities get a
    gradient. Our choice, an option beside (a) and (b). FsmdeError where the shapes differ.
    """
    check_same(student_probabilities.shape, teacher_centres.shape, "probabilities and centres of the bins (M, N)")
    log_depth = (student_probabilities.float() * torch.log(teacher_centres.detach().float())).sum(-1)
    return silog(torch.exp(log_depth), target)
