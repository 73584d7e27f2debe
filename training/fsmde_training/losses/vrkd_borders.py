"""View-relational distillation at the seams: the strips of neighbouring views that face each other."""

from __future__ import annotations

from torch import Tensor

from fsmde_core.errors import FsmdeError
from fsmde_training.losses.checks import check_same
from fsmde_training.losses.relations import affinity_divergence, tokens


def vrkd_borders(
    student: Tensor,
    teacher: Tensor,
    fraction: float = 1 / 3,
    grid: tuple[int, int] = (8, 4),
    temperature: float = 0.1,
) -> Tensor:
    """Maps of V views in ring order, (B, V, C, h, w), C, h and w each network's own -> scalar. V < 2 or B = 0 gives 0.

    As `vrkd_affinity`, but between the right `fraction` of view v and the left `fraction` of view v + 1 mod V (the ring
    runs clockwise), where cameras overlap; two views have two seams. A strip is averaged to at most `grid` rows x
    columns of tokens: fine in height, as the overlap is narrow. Our choice throughout. FsmdeError where B or V differ
    or fraction is not in (0, 1].
    """
    check_same(student.shape[:2], teacher.shape[:2], "samples and views (B, V)")
    if not 0 < fraction <= 1:
        raise FsmdeError(f"fraction is {fraction}, must be in (0, 1]: the part of a view's width that is its border")
    if student.numel() == 0 or student.shape[1] < 2:
        return student.float().sum() * 0
    rows, columns = min(grid[0], student.shape[3]), min(grid[1], _width(student, fraction))
    seen, known = (_seams(maps, fraction, (rows, columns)) for maps in (student, teacher))
    return affinity_divergence(seen, known, temperature)


def _width(maps: Tensor, fraction: float) -> int:
    return max(1, round(fraction * maps.shape[4]))


def _seams(maps: Tensor, fraction: float, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Tokens of the right strips, and of the left strips that they meet; (B, V, P, C) each."""
    width = _width(maps, fraction)
    return tokens(maps[..., -width:], grid), tokens(maps[..., :width], grid).roll(-1, 1)
