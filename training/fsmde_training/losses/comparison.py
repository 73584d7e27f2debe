"""Holds what several distillation losses compare with: shapes, softmax distributions, directions of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_core.errors import FsmdeError

SHORTEST = 1e-6
"""Shorter vectors have no direction, smaller mean distances no scale."""


def check_same(student: Sequence[int], teacher: Sequence[int], what: str) -> None:
    """Refuse sizes that differ: broadcasting would turn a mistaken shape into a wrong number.

    Args:
        student, teacher: The sizes to compare.
        what: Says in the message which sizes these are.

    Raises:
        FsmdeError: The sizes differ.
    """
    if tuple(student) != tuple(teacher):
        raise FsmdeError(
            f"{what}: {tuple(student)} for the student, {tuple(teacher)} for the teacher; make them equal."
        )


def softmax_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Compute KL(teacher || student) over the last axis, averaged over the others (Hinton et al. 2015).

    Args:
        student_logits, teacher_logits: (..., N) finite logits of at least one distribution; the teacher's get no
            gradient.
        temperature: Divides both logits before the softmax.

    Returns:
        A float32 scalar, nats.
    """
    student = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = torch.log_softmax(teacher_logits.detach().float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1).mean()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cosine of every vector of `a` with every vector of `b`.

    Args:
        a, b: (..., P, C) and (..., Q, C) vectors.

    Returns:
        (..., P, Q) float32. A zero vector has cosine 0 with all, and no gradient.
    """
    # Autocast would take the product in half precision.
    with torch.autocast(a.device.type, enabled=False):
        return _unit(a.float()) @ _unit(b.float()).transpose(-1, -2)


def _unit(vectors: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(length < SHORTEST, torch.inf)
