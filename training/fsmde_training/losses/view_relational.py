"""Holds view-relational distillation (VRKD) after Hwang et al. (RA-L 2026).

By its abstract, the paper transfers structural relationships among adjacent views. What is a relation, and how two are
compared, was not available to us: the loss is our choice.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.comparison import check_same, cosines, softmax_divergence


def vrkd_affinity(student: Tensor, teacher: Tensor, grid: tuple[int, int] = (4, 7), temperature: float = 0.1) -> Tensor:
    """Compare which parts of a view resemble which parts of its neighbour on the ring.

    Each view is averaged to a grid of tokens. Over the edges (v, v + 1 mod V) every token's cosines with the
    neighbour's tokens go through a softmax, in both directions: KL(teacher || student), mean. The loss is blind to
    where the ring begins, and to a mirrored world. Only that adjacent views are related is the paper's idea: token
    affinity as the relation, grid and temperature are our choice.

    Args:
        student, teacher: (B, V, C, h, w) maps of V views in ring order; C, h and w are each network's own. The
            teacher's get no gradient.
        grid: The most rows and columns of tokens.
        temperature: Divides the cosines.

    Returns:
        A scalar; 0 for V < 2 or B = 0.

    Raises:
        FsmdeError: B or V differ.
    """
    check_same(student.shape[:2], teacher.shape[:2], "samples and views (B, V)")
    if student.numel() == 0 or student.shape[1] < 2:
        return student.float().sum() * 0
    size = min(grid[0], student.shape[3]), min(grid[1], student.shape[4])
    ours, theirs = (_neighbour_cosines(_tokens(maps, size)) for maps in (student, teacher))
    forth = softmax_divergence(ours, theirs, temperature)
    back = softmax_divergence(ours.transpose(-1, -2), theirs.transpose(-1, -2), temperature)
    return (forth + back) / 2


def _tokens(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, V, C, h, w) -> (B, V, rows * columns, C) float32: averages over a grid of rows x columns."""
    pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1).float(), grid)
    return pooled.flatten(2).transpose(1, 2).unflatten(0, maps.shape[:2])


def _neighbour_cosines(tokens: Tensor) -> Tensor:
    """(B, V, P, C) -> (B, V, P, P) float32: of the tokens of every view with those of the next."""
    return cosines(tokens, tokens.roll(-1, 1))
