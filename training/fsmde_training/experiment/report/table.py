"""Writes results as markdown: the main table, the other measures, cameras, speed, and what it all says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fsmde_core.evaluation.measures.metrics import Metrics
from fsmde_training.experiment.arms import ARMS, BASELINES, PROPOSED, REFERENCES, SUPERVISED, title
from fsmde_training.experiment.results import Latency, Results, RunResult, SeedSpread, gains, of_arm, over_seeds
from fsmde_training.experiment.sets import TITLES

PAPER_GAIN = 5.88
"""Percent: the smaller of the two average gains over supervision reported for the paper."""
SYNTHETIC = ("streets",)
"""Sets of the teacher's own training domain: gains are given without them as well."""


def to_markdown(results: Results) -> str:
    """Write all tables, with a line above each that says what it shows."""
    runs = results.runs
    present = [name for name in (*ARMS, *REFERENCES) if of_arm(runs, name)]
    seeds = len(of_arm(runs, SUPERVISED))
    sets = list(runs[0].sets)
    parts = [
        verdict(runs),
        f"Mean and standard deviation over {seeds} seed{'s' * (seeds > 1)}. Gain: how much lower AbsRel is than the "
        "supervised student's of the same seed, in percent, averaged over the sets (higher is better). "
        "AbsRel and cross-view difference: lower is better.",
        _main_table(runs, present, sets),
        "RMSE in metres, and the share of pixels within a factor of 1.25 of the truth:",
        _measures_table(runs, present, sets),
        *_camera_tables(runs, present, sets),
        _latency_text(results.latency),
        f"Training took {_minutes(runs)} minutes for all students together.",
    ]
    return "\n\n".join(parts)


def verdict(runs: Sequence[RunResult]) -> str:
    """Say whether CKD + VRKD beats supervision by PAPER_GAIN, with a spread smaller than that, and each baseline."""
    if not of_arm(runs, PROPOSED):
        return "This run has no CKD + VRKD arm."
    gain = {name: SeedSpread.of(list(gains(runs, name).values())) for name in ARMS if of_arm(runs, name)}
    ours = gain[PROPOSED]
    lines = [
        f"CKD + VRKD {'reaches' if ours.mean >= PAPER_GAIN else 'does not reach'} the gain of {PAPER_GAIN} % "
        f"over supervision: {_signed(ours)} %."
    ]
    if ours.std == ours.std:
        lines.append(f"The spread over seeds is {'smaller' if ours.std < ours.mean else 'not smaller'} than the gain.")
    for name in BASELINES:
        if name in gain:
            ahead = SeedSpread.of([value - gains(runs, name)[seed] for seed, value in gains(runs, PROPOSED).items()])
            lines.append(f"Beyond `{title(name)}`, seed by seed: {_signed(ahead)} %.")
    lines.append(f"The largest gain is that of `{title(max(gain, key=lambda name: gain[name].mean))}`.")
    if set(runs[0].sets) - set(SYNTHETIC):
        real = {name: SeedSpread.of(list(gains(runs, name, without=SYNTHETIC).values())) for name in gain}
        best = max(real, key=lambda name: real[name].mean)
        lines.append(
            f"On the recordings alone, CKD + VRKD gains {_signed(real[PROPOSED])} %; "
            f"the largest gain there is that of `{title(best)}`, {_signed(real[best])} %."
        )
    return "\n".join(f"- {line}" for line in lines)


def _main_table(runs: Sequence[RunResult], present: Iterable[str], sets: Sequence[str]) -> str:
    kinds: dict[str, Sequence[str]] = {"gain, %": ()}
    if set(sets) - set(SYNTHETIC):
        kinds["gain on recordings, %"] = SYNTHETIC
    head = ["arm", *kinds, *(f"{TITLES[name]}, AbsRel" for name in sets), "cross-view difference"]
    rows = []
    for arm in present:
        gain = [
            "0" if arm == SUPERVISED else _signed(SeedSpread.of(list(gains(runs, arm, without).values())))
            for without in kinds.values()
        ]
        errors = [_number(over_seeds(runs, arm, _mean_of(name, "abs_rel"))) for name in sets]
        rows.append([title(arm), *gain, *errors, _number(over_seeds(runs, arm, lambda run: run.consistency.mean))])
    return _markdown_table(head, rows)


def _measures_table(runs: Sequence[RunResult], present: Iterable[str], sets: Sequence[str]) -> str:
    head = ["arm", *(f"{TITLES[name]}, {label}" for name in sets for label in ("RMSE", "δ<1.25"))]
    rows = [
        [
            title(arm),
            *(
                _number(over_seeds(runs, arm, _mean_of(name, measure)), digits)
                for name in sets
                for measure, digits in (("rmse", 2), ("a1", 3))
            ),
        ]
        for arm in present
    ]
    return _markdown_table(head, rows)


def _camera_tables(runs: Sequence[RunResult], present: Sequence[str], sets: Iterable[str]) -> list[str]:
    parts = []
    for name in sets:
        if name == "streets":  # every street has a rig of its own
            continue
        cameras = list(runs[0].sets[name].cameras)
        rows = []
        for arm in present:
            errors = [over_seeds(runs, arm, _camera_of(name, camera)).mean for camera in cameras]
            rows.append([title(arm), *(f"{error:.3f}" for error in errors)])
        parts += [f"AbsRel per camera, {TITLES[name]}, mean over seeds:", _markdown_table(["arm", *cameras], rows)]
    return parts


def _mean_of(name: str, measure: str) -> Callable[[RunResult], float]:
    return lambda run: float(getattr(run.sets[name].mean, measure))


def _camera_of(name: str, camera: str) -> Callable[[RunResult], float]:
    def abs_rel(run: RunResult) -> float:
        metrics: Metrics = run.sets[name].cameras[camera]
        return metrics.abs_rel

    return abs_rel


def _latency_text(latency: Latency) -> str:
    width, height = latency.size
    return (
        f"Six images of {width}x{height} in {latency.runtime}, both networks alternating in one process: the student "
        f"({latency.student_parameters:.1f} M parameters) takes {latency.student_ms:.1f} ms, the teacher "
        f"({latency.teacher_parameters:.1f} M) {latency.teacher_ms:.1f} ms, "
        f"{latency.teacher_ms / latency.student_ms:.1f} times as long."
    )


def _minutes(runs: Iterable[RunResult]) -> str:
    return f"{sum(run.seconds for run in runs if run.arm in ARMS) / 60:.0f}"


def _number(value: SeedSpread, digits: int = 3) -> str:
    spread = f" ± {value.std:.{digits}f}" if value.std == value.std else ""
    return f"{value.mean:.{digits}f}{spread}"


def _signed(value: SeedSpread) -> str:
    spread = f" ± {value.std:.1f}" if value.std == value.std else ""
    return f"{value.mean:+.1f}{spread}"


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
