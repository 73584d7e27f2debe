"""Runs the whole experiment, step by step; a step that is done is not done again: it may be stopped at any time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from fsmde_core.evaluation.predictors.predictors import ConstantDepth
from fsmde_training.experiment.arms import PROPOSED, SUPERVISED, title
from fsmde_training.experiment.evaluate import compare_speed, measure, model_predictor, parameter_count
from fsmde_training.experiment.report.report import RING, image_folder, write_report
from fsmde_training.experiment.report.ring_picture import draw_ring
from fsmde_training.experiment.results import Results, RunResult, read_run, write_json
from fsmde_training.experiment.sets import TITLES, HeldOutSet, open_set
from fsmde_training.experiment.settings import Settings, claim_folder
from fsmde_training.experiment.teacher_depth import export_teacher, load_teacher_depth
from fsmde_training.experiment.training import TrainedStudent, Training
from fsmde_training.export import export
from fsmde_training.networks.checkpoint import load_student


def run(settings: Settings) -> None:
    """Do all from images to the report. Start it again with the same settings to go on after an interruption."""
    claim_folder(settings)
    training = Training(settings)
    held_out = {name: open_set(name, settings.evaluation_streets, settings.size) for name in settings.evaluation}
    _log(f"experiment in {settings.folder}: training images")
    training.prepare()
    _log("teacher")
    training.train_teacher()
    _log("stage 0: the teacher's bins")
    training.fit_bins()
    references = [_constant(settings, held_out), _teacher(settings, training, held_out)]
    runs = [*_students(settings, training, held_out), *references]
    _report(settings, training, runs, held_out)


def _constant(settings: Settings, held_out: Mapping[str, HeldOutSet]) -> RunResult:
    path = settings.folder / "constant.json"
    if not path.is_file():
        write_json(measure("constant", 0, 0.0, ConstantDepth(), held_out), path)
    return read_run(path)


def _teacher(settings: Settings, training: Training, held_out: Mapping[str, HeldOutSet]) -> RunResult:
    """Measure the teacher's metric depth, after stage 0."""
    path = settings.folder / "teacher.json"
    if not path.is_file():
        export_teacher(load_teacher_depth(training.teacher, training.bins), training.teacher_model, settings.size)
        with model_predictor(training.teacher_model) as predictor:
            write_json(measure("teacher", 0, 0.0, predictor, held_out), path)
    return read_run(path)


def _students(settings: Settings, training: Training, held_out: Mapping[str, HeldOutSet]) -> list[RunResult]:
    """Train and measure all arms seed by seed, so that even an interrupted run can compare them."""
    plan = [training.student(arm, seed) for seed in settings.seeds for arm in settings.arms]
    todo = [student for student in plan if not student.result.is_file()]
    start = time.monotonic()
    for done, student in enumerate(todo):
        place, left = len(plan) - len(todo) + done + 1, _time_left(time.monotonic() - start, done, len(todo))
        _log(f"student {place} of {len(plan)}: {student.arm}, seed {student.seed}; {left}")
        seconds = training.train_student(student)
        export(student.checkpoint, student.model, settings.size[::-1])
        with model_predictor(student.model) as predictor:
            write_json(measure(student.arm, student.seed, seconds, predictor, held_out), student.result)
    return [read_run(student.result) for student in plan]


def _time_left(seconds: float, done: int, total: int) -> str:
    """Estimate the time that is left by what `done` of `total` students took."""
    return f"about {seconds / done * (total - done) / 60:.0f} min left" if done else "the first tells how long"


def _report(settings: Settings, training: Training, runs: list[RunResult], held_out: Mapping[str, HeldOutSet]) -> None:
    """Write speed, pictures and tables; they are made anew at every start."""
    shown: list[TrainedStudent] = [
        training.student(arm, settings.seeds[0]) for arm in (SUPERVISED, PROPOSED) if arm in settings.arms
    ]
    teacher = load_teacher_depth(training.teacher, training.bins)
    counts = parameter_count(load_student(shown[0].checkpoint)), parameter_count(teacher)
    latency = compare_speed(shown[0].model, training.teacher_model, counts)
    models = {"teacher": training.teacher_model} | {title(student.arm): student.model for student in shown}
    first = settings.evaluation[0]
    draw_ring(models, held_out[first], TITLES[first], settings.size, image_folder(settings.report) / RING)
    document = write_report(Results(settings.as_json(), tuple(runs), latency), settings.report)
    _log(f"report: {document}")


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
