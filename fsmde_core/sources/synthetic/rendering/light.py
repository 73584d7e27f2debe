"""Models weather and light of a street, sun, sky and haze, and how the cameras expose."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsmde_core.sources.synthetic.shapes.textures import INDEX, atlas

Array = NDArray[np.float32]


def _colour(*values: float) -> Array:
    return np.array(values, np.float32)


class Light:
    """Samples the light of a street, in linear radiance; a white wall in full sun and skylight has about 1.

    sun: (3,) unit direction towards it. sun_colour, ambient, zenith, horizon: (3,) radiance. clouds: cover from 0 to 1.
    haze: metres after which 63 % is haze. Of the cameras: exposure, the mean that they expose for (1 is white), and
    meter, the radiance above which they weigh nothing more; gamma; cast (3,); noise in grey levels; vignette.
    """

    def __init__(self, rng: Generator) -> None:
        kind = str(rng.choice(["clear", "fair", "overcast", "dusk"], p=[0.34, 0.3, 0.26, 0.1]))
        elevation = np.radians(rng.uniform(5, 16) if kind == "dusk" else rng.uniform(18, 70))
        azimuth = rng.uniform(0, 2 * np.pi)
        sun = _colour(np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
        warm = np.exp(-3 * np.sin(elevation)) * _colour(0.25, -0.05, -0.4)
        strength = {"clear": 1.0, "fair": 0.85, "overcast": rng.choice([0.0, 0.1]), "dusk": 0.5}[kind]
        blue = _colour(0.2, 0.38, 0.75) * rng.uniform(0.7, 1.3)
        grey = np.full(3, rng.uniform(0.5, 1.4), np.float32) * _colour(0.97, 1.0, 1.03)
        zenith, horizon = (grey, grey * rng.uniform(0.9, 1.2)) if kind == "overcast" else (blue, blue * 0.4 + 0.55)
        if kind == "dusk":
            zenith, horizon = 0.5 * blue, 0.3 * blue + _colour(0.6, 0.4, 0.25)
        fill = rng.uniform(0.15, 0.33) if strength > 0.2 else rng.uniform(0.5, 0.8)
        cover = {"clear": rng.uniform(0, 0.2), "fair": rng.uniform(0.3, 0.75), "overcast": rng.choice([0.0, 1.0])}
        self.sun = sun
        self.sun_colour = (strength * (1 + warm)).astype(np.float32)
        self.ambient = (fill * (_colour(1, 1, 1) if kind == "overcast" else _colour(0.86, 0.97, 1.2))).astype(
            np.float32
        )
        self.zenith = zenith.astype(np.float32)
        self.horizon = horizon.astype(np.float32)
        self.clouds = cover.get(kind, 0.5)
        self.cloud_shift = (float(rng.random()), float(rng.random()))
        self.haze = _sample_haze(rng)
        self.meter = float(np.exp(rng.uniform(np.log(0.3), np.log(2.0))))
        self.exposure = float(np.exp(rng.uniform(np.log(0.13), np.log(0.4))))
        self.gamma = float(rng.uniform(1.8, 2.5))
        self.cast = (1 + rng.normal(0, 0.035, 3)).astype(np.float32)
        self.noise = float(np.exp(rng.uniform(np.log(0.4), np.log(5.0))))
        self.vignette = float(rng.uniform(0, 0.3))

    def sky_radiance(self, directions: Array) -> Array:
        """Return the (N, 3) radiance of the sky along (N, 3) unit vectors; below the horizon that of the horizon."""
        up = np.maximum(directions[:, 2:], 0)
        blend = np.sqrt(np.sqrt(up)) if self.clouds == 1.0 else np.sqrt(up)
        radiance = self.horizon + (self.zenith - self.horizon) * blend
        if self.clouds > 0:
            scale = 0.14 / (up[:, 0] + 0.12)
            u, v = directions[:, 0] * scale + self.cloud_shift[0], directions[:, 1] * scale + self.cloud_shift[1]
            texture = np.full(len(u), INDEX["clouds"], np.int32)
            density = atlas().sample(texture, u, v, np.full(len(u), 1 / 256, np.float32))[:, 0]
            cover = np.clip(3.5 * (density - 1 + 0.9 * self.clouds) + 0.3, 0, 1)[:, None] * np.minimum(up * 12, 1)
            white = 0.75 * self.sun_colour + 0.9 * self.ambient
            radiance += cover * (white * (1.25 - 0.5 * density[:, None]) - radiance)
        away = (1 - directions @ self.sun)[:, None]
        return radiance + self.sun_colour * (0.25 * np.exp(-16 * away) + 4 * np.exp(-800 * away))

    def expose(self, radiance: Array, rng: Generator) -> NDArray[np.uint8]:
        """Turn radiance into an image: vignette, exposure, soft highlights, gamma, sensor noise.

        Args:
            radiance: (H, W, 3) float32, linear.
            rng: Source of the noise.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        height, width = radiance.shape[:2]
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        falloff = 1 - self.vignette * 0.5 * (x**2 + y[:, None] ** 2)
        gain = self.exposure / max(float(np.minimum(radiance, self.meter).mean()), 1e-3)
        exposed = radiance * (falloff[..., None] * (gain * self.cast))
        curve = (255 * _tone_curve(np.linspace(0, 1, 4096), self.gamma)).astype(np.float32)
        codes = np.minimum(np.sqrt(np.maximum(exposed, 0) / 4) * 4095, 4095)
        image = curve[(codes + 0.5).astype(np.int32)]
        grain = rng.standard_normal((height, width, 4), dtype=np.float32)
        return np.clip(image + self.noise * (grain[..., :1] + 0.6 * grain[..., 1:]) + 0.5, 0, 255).astype(np.uint8)


def _sample_haze(rng: Generator) -> float:
    low, high = ((900, 9000), (300, 900), (80, 300))[rng.choice(3, p=[0.78, 0.16, 0.06])]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _tone_curve(code: NDArray, gamma: float) -> NDArray:
    """Display value of exposure 4 code^2: linear, with a shoulder above 0.7, then gamma."""
    exposure = 4 * code**2
    shoulder = 0.7 + 0.3 * (1 - np.exp(-(exposure - 0.7) / 0.3))
    return np.where(exposure < 0.7, exposure, shoulder) ** (1 / gamma)
