"""Names and lengths of lens models, and where a model turns back, against a search by small steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.rig.lens import is_pinhole, standard_distortion, turning_angle
from fsmde_core.rig.rig import Camera, Rig, load_rig, save_rig

FOURTEEN = [0.1, -0.05, 0.001, 0.002, 0.01, 0.05, -0.01, 0.002, 0.0005, 0.0001, -0.0004, 0.0001, 0.01, -0.02]


@pytest.mark.parametrize(
    ("model", "D", "standard", "kept"),
    [
        *[("plumb_bob", FOURTEEN[:n], "plumb_bob", n) for n in (0, 4, 5)],
        *[("plumb_bob", FOURTEEN[:n], "rational_polynomial", n) for n in (8, 12, 14)],
        *[("rational_polynomial", FOURTEEN[:n], "rational_polynomial", n) for n in (0, 4, 5, 8, 12, 14)],
        ("equidistant", FOURTEEN[:4], "equidistant", 4),
        ("equidistant", [], "equidistant", 0),
        ("equidistant", [*FOURTEEN[:4], 0, 0, 0, 0], "equidistant", 4),
        ("plumb_bob", [*FOURTEEN[:5], 0, 0, 0], "plumb_bob", 5),
        ("plumb_bob", [*FOURTEEN[:5], 0], "plumb_bob", 5),
        ("rational_polynomial", [*FOURTEEN[:8], 0, 0], "rational_polynomial", 8),
        ("plumb_bob", [0.0] * 14, "plumb_bob", 5),
        *[
            (name, FOURTEEN[:4], "equidistant", 4)
            for name in ("fisheye", "Kannala Brandt4", "kannala-brandt", "EQUIDISTANT")
        ],
        *[(name, FOURTEEN[:4], "plumb_bob", 4) for name in ("Plumb Bob", "radtan", "brown_conrady")],
        *[(name, [0.0] * n, "plumb_bob", 0) for name in ("", "none", "None", "pinhole") for n in (0, 4, 5)],
    ],
)
def test_models_by_the_names_and_lengths_that_people_use(model: str, D: list[float], standard: str, kept: int) -> None:
    name, values = standard_distortion(model, D)
    assert (name, values.tolist()) == (standard, D[:kept])


@pytest.mark.parametrize(
    ("model", "D", "words"),
    [
        ("fov", [0.9], "distortion model 'fov' is not in .*equidistant"),
        ("inverse_brown_conrady", [0.1] * 5, "'inverse_brown_conrady' is not in"),
        ("", [0.1, 0, 0, 0], r"'' takes no coefficients, D is \[0.1"),
        ("none", [0.1, 0, 0, 0], "'none' takes no coefficients"),
        ("plumb_bob", [0.1, 0.2, 0.3], "plumb_bob takes"),
        ("plumb_bob", [0.0], "plumb_bob takes"),
        ("plumb_bob", [0.1] * 7, "rational_polynomial takes"),
        ("equidistant", [0.1] * 5, "equidistant takes"),
        ("rational_polynomial", [0.1] * 15, "rational_polynomial takes"),
        ("plumb_bob", [float("nan"), 0, 0, 0], "finite values"),
        ("equidistant", [0, 0, 0, float("inf")], "finite values"),
        ("plumb_bob", [1e300, 0, 0, 0], "finite values up to"),
    ],
)
def test_what_no_lens_has_is_refused(model: str, D: list[float], words: str) -> None:
    with pytest.raises(FsmdeError, match=words):
        standard_distortion(model, D)
    with pytest.raises(FsmdeError, match=f"camera 'c': .*{words}"):
        Camera("c", 64, 48, np.diag([50.0, 50, 1]), distortion_model=model, D=np.array(D))


def test_only_an_equidistant_lens_bends_lines_without_coefficients() -> None:
    for D in (np.zeros(0), np.zeros(4)):
        assert is_pinhole("plumb_bob", D) and is_pinhole("rational_polynomial", D) and not is_pinhole("equidistant", D)


@pytest.mark.parametrize(("model", "count"), [("plumb_bob", 8), ("rational_polynomial", 14), ("fisheye", 4)])
def test_rig_files_keep_lenses(model: str, count: int, tmp_path: Path) -> None:
    camera = Camera("front", 64, 48, np.diag([50.0, 50, 1]), distortion_model=model, D=np.array(FOURTEEN[:count]))
    save_rig(Rig((camera,)), tmp_path / "rig.yaml")
    read = load_rig(tmp_path / "rig.yaml")["front"]
    assert (read.distortion_model, read.D.tolist()) == (camera.distortion_model, camera.D.tolist())


def radius(model: str, D: list[float], angle: np.ndarray) -> np.ndarray:
    """Distance from the principal point, in focal lengths, of what is seen at an angle; tangential terms left out."""
    if model == "equidistant":
        return np.asarray(angle * (1 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(D))))
    k1, k2, _, _, k3, k4, k5, k6 = [*D, *[0.0] * 8][:8]
    r = np.tan(angle)
    above, below = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6, 1 + k4 * r**2 + k5 * r**4 + k6 * r**6
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(below > 0, r * above / below, -np.inf))


coefficient = st.floats(-0.6, 0.6)
lenses = st.one_of(
    st.tuples(st.just("plumb_bob"), st.lists(coefficient, min_size=5, max_size=5)),
    st.tuples(st.just("rational_polynomial"), st.lists(coefficient, min_size=8, max_size=8)),
    st.tuples(st.just("equidistant"), st.lists(coefficient, min_size=4, max_size=4)),
)


@given(lenses)
def test_the_turning_angle_is_where_the_radius_stops_growing(lens: tuple[str, list[float]]) -> None:
    model, D = lens
    turning = turning_angle(model, tuple(D))
    angles = np.linspace(0, 1.5, 30001)
    with np.errstate(invalid="ignore"):  # beyond a pole
        grows = np.diff(radius(model, D, angles)) > 0
    assert grows[angles[1:] <= turning - 1e-4].all()
    if turning < 1.49:
        before, after = radius(model, D, np.array([turning - 1e-4, turning + 1e-4]))
        assert after < before or np.diff(radius(model, D, turning + np.array([1e-3, 2e-3])))[0] < 0


@pytest.mark.parametrize(
    ("model", "D", "degrees"),
    [
        ("plumb_bob", [-1 / 3, 0, 0, 0], 45.0),  # r - r^3 / 3
        ("plumb_bob", [-1 / 12, 0, 0, 0, 0], np.degrees(np.arctan(2))),
        ("plumb_bob", [0, -1 / 5, 0, 0], 45.0),
        ("plumb_bob", [0, 0, 0.1, 0.1, -1 / 7], 45.0),
        ("rational_polynomial", [0, 0, 0, 0, 0, -1, 0, 0], 45.0),  # a pole: r / (1 - r^2)
        ("rational_polynomial", [0, 0, 0, 0, 0, 1, 0, 0], 45.0),  # r / (1 + r^2)
        ("equidistant", [-1 / 3, 0, 0, 0], np.degrees(1.0)),
        ("equidistant", [0, 0, 0, -1 / 9], np.degrees(1.0)),
        ("equidistant", [0.0] * 4, np.inf),
        ("plumb_bob", [0.1, 0.1, 0, 0, 0.1], 90.0),
        ("plumb_bob", [], 90.0),
        # (1 - r^2)^2 is the slope: it stands still at 45 degrees, and goes on
        ("plumb_bob", [-2 / 3, 1 / 5, 0, 0, 0], 90.0),
        # a last coefficient that is next to nothing moves nothing
        ("plumb_bob", [-1 / 3, 0, 0, 0, 1e-15], 45.0),
        ("plumb_bob", [-1e-300, 0, 0, 0, -1e-310], 90.0),
    ],
)
def test_turning_angles_by_hand(model: str, D: list[float], degrees: float) -> None:
    assert np.degrees(turning_angle(model, tuple(D))) == pytest.approx(degrees, abs=1e-9)
