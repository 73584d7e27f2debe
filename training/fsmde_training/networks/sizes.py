"""Checks and reads the image sizes that the networks take."""

from __future__ import annotations

import re

from fsmde_core.errors import FsmdeError

STRIDE = 32
"""Of the encoder's coarsest map."""


def check_size(size: tuple[int, int], what: str) -> None:
    """Refuse sizes that are no multiples of STRIDE.

    Args:
        size: (height, width), pixels.
        what: Says in the message what has this size.

    Raises:
        FsmdeError: A side is no multiple.
    """
    if any(n < STRIDE or n % STRIDE for n in size):
        raise FsmdeError(f"{what} {size[1]}x{size[0]} must be multiples of {STRIDE} pixels")


def parse_size(text: str) -> tuple[int, int]:
    """Read 'WxH' as (width, height) in pixels."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or "0" in match.groups():
        raise FsmdeError(f"size '{text}' must be width x height in pixels, such as 448x256")
    return int(match[1]), int(match[2])
