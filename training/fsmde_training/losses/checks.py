"""Checks shared by the distillation losses: broadcasting would turn a mistaken shape into a wrong number."""

from __future__ import annotations

from collections.abc import Sequence

from fsmde_core.errors import FsmdeError


def check_same(student: Sequence[int], teacher: Sequence[int], what: str) -> None:
    """Raises FsmdeError unless the two sizes are equal; what: says in the message which sizes these are."""
    if tuple(student) != tuple(teacher):
        raise FsmdeError(
            f"{what}: {tuple(student)} for the student, {tuple(teacher)} for the teacher; make them equal."
        )
