"""Lists the arms of the experiment, and what each adds to the supervised loss."""

from __future__ import annotations

from dataclasses import dataclass

SUPERVISED, PROPOSED = "supervised", "ckd_vrkd"
"""What every arm is compared with, and what the software is named for."""
BASELINES = ("depth_kd", "fitnets", "rkd")
"""Distillation as others do it."""


@dataclass(frozen=True)
class Arm:
    """Describes one way to train a student.

    title: For tables and plots.
    terms: Distillation terms that come on top of the supervised ones.
    shares_binning: Whether the student's binning module starts from the teacher's.
    """

    title: str
    terms: tuple[str, ...] = ()
    shares_binning: bool = False


CKD_A, CKD_AB, VRKD = ("ckd_probability",), ("ckd_probability", "ckd_centres"), ("vrkd_affinity",)
ARMS = {
    SUPERVISED: Arm("supervised"),
    "depth_kd": Arm("+ depth KD", ("depth_kd",)),
    "fitnets": Arm("+ FitNets", ("fitnets",)),
    "rkd": Arm("+ RKD", ("rkd",)),
    "ckd_a": Arm("+ CKD (a)", CKD_A, shares_binning=True),
    "ckd_ab": Arm("+ CKD (a+b)", CKD_AB, shares_binning=True),
    "vrkd": Arm("+ VRKD", VRKD),
    PROPOSED: Arm("+ CKD + VRKD", (*CKD_AB, *VRKD), shares_binning=True),
}
REFERENCES = {"teacher": "teacher, after stage 0", "constant": "constant depth"}
"""Rows that are no arms: what the students learn from, and what knows nothing of the image."""


def title(name: str) -> str:
    """Give the title of an arm or a reference in tables and plots."""
    return ARMS[name].title if name in ARMS else REFERENCES[name]
