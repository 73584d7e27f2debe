"""Kullback-Leibler divergence of two softmax distributions, teacher to student (Hinton et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Finite logits, (..., N) each -> scalar, nats: KL(teacher || student) over N, averaged over the other axes.

    Both are softmax(logits / temperature). The teacher gets no gradient. At least one distribution is needed.
    """
    student = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = torch.log_softmax(teacher_logits.detach().float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1).mean()
