"""Defines what a number in the page is: its name, its digits, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["better", "worse", "equal"]

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Measure:
    """Describes one number. `better` is "lower", "higher", "near" (to `target`), or "" for counts.

    Differences and verdicts are of the values as they are shown, so that the page's numbers agree with each other.
    """

    label: str
    digits: int = 3
    better: Literal["lower", "higher", "near", ""] = "lower"
    target: float = 0.0

    @property
    def heading(self) -> str:
        """The label, with an arrow that points where better values lie."""
        return self.label + {"lower": " ↓", "higher": " ↑", "near": f" → {self.target:g}", "": ""}[self.better]

    def text(self, value: float | None) -> str:
        """Format a value as the page shows it; a dash for none and for NaN."""
        if value is None or value != value:
            return NONE
        return f"{value:,.{self.digits}f}".replace("-", MINUS)

    def difference(self, reference: float, value: float) -> float:
        return round(round(value, self.digits) - round(reference, self.digits), self.digits) + 0.0  # no negative zero

    def change(self, reference: float, value: float) -> str:
        difference = self.difference(reference, value)
        return f"{difference:+,.{self.digits}f}".replace("-", MINUS) if difference else self.text(0.0)

    def verdict(self, reference: float, value: float) -> Verdict:
        if not self.difference(reference, value):
            return "equal"
        if self.better == "near":
            gain = abs(reference - self.target) - abs(value - self.target)
        else:
            gain = reference - value if self.better == "lower" else value - reference
        return "better" if gain > 0 else "worse"


SCORES = {
    "abs_rel": Measure("AbsRel"),
    "sq_rel": Measure("SqRel, m"),
    "rmse": Measure("RMSE, m"),
    "rmse_log": Measure("RMSE log"),
    "a1": Measure("δ < 1.25", better="higher"),
    "a2": Measure("δ < 1.25²", better="higher"),
    "a3": Measure("δ < 1.25³", better="higher"),
    "n": Measure("pixels", digits=0, better=""),
}
ABS_REL, DELTA = SCORES["abs_rel"], SCORES["a1"]
COUNT = SCORES["n"]
# Shares of a normal distribution within 1 and 2 standard deviations.
COVERAGE = {
    "1": Measure("within 1 sigma", better="near", target=0.683),
    "2": Measure("within 2 sigma", better="near", target=0.954),
}
AUSE = Measure("AUSE")
DISAGREEMENT = Measure("relative difference")
UNSTEADINESS = Measure("relative change")
LATENCY = {key: Measure(f"{key}, ms", digits=1) for key in ("p50", "p95", "p99")}
