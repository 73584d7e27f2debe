"""Describes how faces look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Colour = tuple[float, float, float]
WHITE: Colour = (0.8, 0.8, 0.8)


@dataclass(frozen=True)
class Appearance:
    """Describes how a face looks: its linear reflectance (red, green, blue) times a texture of the atlas.

    tile: metres per tile to the right and upwards; None stretches one tile over the face. shift: offset in tiles.
    is_cutout: the texture's holes are holes of the solid.
    """

    colour: Colour = WHITE
    texture: str = "plain"
    tile: tuple[float, float] | None = (4.0, 4.0)
    shift: tuple[float, float] = (0.0, 0.0)
    is_cutout: bool = False


def to_colour(values: Iterable[float]) -> Colour:
    """Convert three numbers to a colour of plain floats."""
    r, g, b = values
    return float(r), float(g), float(b)


DARK = Appearance((0.03, 0.035, 0.03))
CONCRETE = Appearance((0.42, 0.41, 0.38), "plaster", (3.0, 3.0))
