"""View-relational distillation by affinity: which parts of a view resemble which parts of its neighbour on the ring."""

from __future__ import annotations

from torch import Tensor

from fsmde_training.losses.checks import check_same
from fsmde_training.losses.relations import affinity_divergence, tokens


def vrkd_affinity(student: Tensor, teacher: Tensor, grid: tuple[int, int] = (4, 7), temperature: float = 0.1) -> Tensor:
    """Maps of V views in ring order, (B, V, C, h, w), C, h and w each network's own -> scalar. V < 2 or B = 0 gives 0.

    Each view is averaged to a grid of tokens, at most `grid` rows x columns. Over the edges (v, v + 1 mod V) every
    token's cosines with the neighbour's tokens go through a softmax, in both directions: KL(teacher || student), mean.
    Blind to where the ring begins, and to a mirrored world. The teacher gets no gradient. Token affinity as the
    relation, grid and temperature are our choice: the paper (Hwang et al. 2026) tells only that relations of adjacent
    views are distilled. FsmdeError where B or V differ.
    """
    check_same(student.shape[:2], teacher.shape[:2], "samples and views (B, V)")
    if student.numel() == 0 or student.shape[1] < 2:
        return student.float().sum() * 0
    rows, columns = min(grid[0], student.shape[3]), min(grid[1], student.shape[4])
    seen, known = tokens(student, (rows, columns)), tokens(teacher, (rows, columns))
    return affinity_divergence((seen, seen.roll(-1, 1)), (known, known.roll(-1, 1)), temperature)
