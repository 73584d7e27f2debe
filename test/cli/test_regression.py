"""The regression check: margins, tries, and names that do not fit; nothing is timed here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from fsmde_core.errors import FsmdeError
from fsmde_ros.cli.benchmarks.regression import MARGIN, TRIES, RatioCheck, compare

COMMITTED = {"cloud/copy": 2.0}


def one(values: Iterator[float]) -> RatioCheck:
    """The verdict on a ratio that is measured as `values`, one after the other."""
    (verdict,) = compare({"cloud/copy": lambda: next(values)}, COMMITTED)
    return verdict


def test_within_the_margin_one_measurement_is_enough() -> None:
    values = iter([2.0 * MARGIN, 0.0])
    assert one(values) == RatioCheck("cloud/copy", 2.0 * MARGIN, 2.0)
    assert next(values) == 0  # was not asked for


def test_a_bad_moment_is_forgiven_and_the_best_try_counts() -> None:
    assert one(iter([9.0, 7.0, 2.1])).passed
    slow = one(iter([9.0, 7.0, 8.0]))
    assert not slow.passed and slow.found == 7.0
    assert str(slow).startswith("SLOW cloud/copy") and "committed 2, limit 2.8" in str(slow)


def test_a_loss_is_measured_no_more_often_than_stated() -> None:
    values = iter([9.0] * TRIES + [0.0])
    assert not one(values).passed
    assert next(values) == 0


def test_faster_is_never_a_failure() -> None:
    assert one(iter([0.1])).passed


@pytest.mark.parametrize("committed", [{}, {"cloud/copy": 1.0, "rectify/copy": 1.0}, {"other": 1.0}])
def test_other_names_ask_for_new_figures(committed: dict[str, float]) -> None:
    with pytest.raises(FsmdeError, match="commit new ones with --write"):
        list(compare({"cloud/copy": lambda: 1.0}, committed))
