"""Image sizes that the networks take."""

from __future__ import annotations

from fsmde_core.errors import FsmdeError

STRIDE = 32
"""Of the encoder's coarsest map."""


def check_size(size: tuple[int, int], what: str) -> None:
    """FsmdeError unless (height, width) = `size` are multiples of STRIDE; what: named in the sentence."""
    if any(n < STRIDE or n % STRIDE for n in size):
        raise FsmdeError(f"{what} {size[1]}x{size[0]} must be multiples of {STRIDE} pixels")
