"""The arms of the experiment: what each adds to the supervised loss."""

from __future__ import annotations

from dataclasses import dataclass

SUPERVISED, PROPOSED = "supervised", "ckd_vrkd"
"""What every arm is compared with, and what the software is named for."""
BASELINES = ("depth_kd", "fitnets", "rkd")
"""Distillation as others do it."""


@dataclass(frozen=True)
class Arm:
    """title: for tables and plots. terms: distillation terms that come on top of the supervised ones.

    shares: the student's binning module starts from the teacher's.
    """

    title: str
    terms: tuple[str, ...] = ()
    shares: bool = False


CKD_A, CKD_AB, VRKD = ("ckd_probability",), ("ckd_probability", "ckd_centres"), ("vrkd_affinity",)
ARMS = {
    SUPERVISED: Arm("supervised"),
    "depth_kd": Arm("+ depth KD", ("depth_kd",)),
    "fitnets": Arm("+ FitNets", ("fitnets",)),
    "rkd": Arm("+ RKD", ("rkd",)),
    "ckd_a": Arm("+ CKD (a)", CKD_A, shares=True),
    "ckd_ab": Arm("+ CKD (a+b)", CKD_AB, shares=True),
    "vrkd": Arm("+ VRKD", VRKD),
    PROPOSED: Arm("+ CKD + VRKD", (*CKD_AB, *VRKD), shares=True),
}
REFERENCES = {"teacher": "teacher, after stage 0", "constant": "constant depth"}
"""Rows that are no arms: what the students learn from, and what knows nothing of the image."""


def title(name: str) -> str:
    """What tables and plots call an arm or a reference."""
    return ARMS[name].title if name in ARMS else REFERENCES[name]
